"""Small models on the real compilers: what probing and verification ask."""
