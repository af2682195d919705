"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float, str], None]
"""A stage's name, the share of it done in [0, 1], and a word on what is being done."""

Tick = Callable[[float, str], None]
"""Progress: the share done in [0, 1], and a word on what is being done."""
