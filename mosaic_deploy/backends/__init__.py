"""Runtimes and their compilers, a folder each, behind one protocol."""
