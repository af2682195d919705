"""The op gate: a verdict per model and target, fixes, formats."""
