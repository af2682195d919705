"""Many networks on every target, each cell through the command line as a person uses it, as one table."""
