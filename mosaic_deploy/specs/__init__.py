"""Facts in TOML, and the contract between a network and its app."""
