"""How good a network is, and whether two networks see the same."""
