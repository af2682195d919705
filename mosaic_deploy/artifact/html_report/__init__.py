"""``report.html``: an artifact, or many, as one page that opens anywhere and loads nothing."""
