"""Where a network meets an application: its image and its output, brought into one form."""
