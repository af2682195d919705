"""CamVid's class ids, by name, for the painters."""

from __future__ import annotations

from typing import Final

SKY: Final = 0
BUILDING: Final = 1
POLE: Final = 2
ROAD: Final = 3
PAVEMENT: Final = 4
TREE: Final = 5
SIGN: Final = 6
FENCE: Final = 7
CAR: Final = 8
PEDESTRIAN: Final = 9
BICYCLIST: Final = 10
UNLABELLED: Final = 11
