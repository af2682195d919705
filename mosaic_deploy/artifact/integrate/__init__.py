"""``integrate.md``: how an app feeds and reads one artifact, as code for that very file."""
