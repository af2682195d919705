"""Names for the classes of a network where nobody says any: as many as its scores tell apart."""

from __future__ import annotations

from pathlib import Path

from mosaic_deploy.datasets.folder import colour_of
from mosaic_deploy.errors import UsageError
from mosaic_deploy.specs.labels import LabelSpace

_MOST = 255


def own_classes(path: Path, channels: int | None) -> LabelSpace:
    """``class 0``, ``class 1`` and so on, or foreground and background for a lone score per pixel.

    Args:
        path: of the network, for the error.
        channels: scores per pixel; None for class ids, of which a file does not tell how many there are.

    Raises:
        UsageError: it gives ids, or more scores than there may be classes.
    """
    if channels is None or channels > _MOST:
        found = "class ids" if channels is None else f"{channels} scores per pixel"
        raise UsageError(
            f"{path}: gives {found}, so --data must say what its classes are: put classes.txt, a name a "
            "line from id 0 on, beside images/"
        )
    names = ("background", "foreground") if channels == 1 else tuple(f"class {i}" for i in range(channels))
    return LabelSpace(names, tuple(colour_of(i) for i in range(len(names))))
