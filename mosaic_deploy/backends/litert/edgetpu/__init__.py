"""Coral's Edge TPU: LiteRT files that its compiler takes."""
