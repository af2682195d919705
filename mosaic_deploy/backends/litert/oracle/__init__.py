"""Single operators on LiteRT, for probing and verification."""
