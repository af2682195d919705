"""The gate's report as text for people and programs: one format per module."""
