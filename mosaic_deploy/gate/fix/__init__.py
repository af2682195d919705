"""Rewrites chosen and verified: what ``check --fix`` does."""
