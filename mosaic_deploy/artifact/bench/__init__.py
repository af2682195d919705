"""Artifacts timed beside each other on this machine."""
