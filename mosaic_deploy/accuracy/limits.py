"""What a drop may be: a number, or a share of the reference that must be kept; of the mean and of classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, final, get_args

from mosaic_deploy.errors import UsageError
from mosaic_deploy.specs.toml import nearest

Undecided = Literal["fail", "pass"]
"""What becomes of a comparison whose interval holds the tolerance."""


@final
@dataclass(frozen=True, slots=True)
class Limits:
    """The gate that a comparison has to pass."""

    drop: float | None
    """The largest drop that passes, in [0, 1]; None where ``keep`` says it."""
    keep: float | None = None
    """The share of the reference's mIoU (or agreement) that must be kept, in [0, 1]: 0.99 for ``99%``."""
    classes: tuple[tuple[str, float], ...] = ()
    """Name of a class, and the largest drop of its IoU that passes, in [0, 1]."""
    undecided: Undecided = "fail"

    def __post_init__(self) -> None:
        shares = (self.drop, self.keep, *(limit for _, limit in self.classes))
        for value in shares:
            if value is not None and not 0 <= value <= 1:
                raise UsageError(f"tolerance {value} is not between 0 and 1")
        if (self.drop is None) == (self.keep is None):
            raise UsageError("a tolerance is either a drop or a share that is kept")
        if self.undecided not in get_args(Undecided):
            raise UsageError(f"--undecided {self.undecided}: known: {', '.join(get_args(Undecided))}")

    def allowed(self, reference: float) -> float:
        """The largest drop that passes beside this reference."""
        return self.drop if self.drop is not None else (1 - (self.keep or 0.0)) * reference

    def require_classes(self, known: Iterable[str]) -> None:
        """Raise ``UsageError`` where a class has a limit that is none of the scored ones."""
        names = tuple(known)
        for name, _ in self.classes:
            if name not in names:
                raise UsageError(
                    f"--class-tolerance {name}: no such scored class{nearest(name, names)}; "
                    f"known: {', '.join(names)}"
                )


def read_tolerance(text: str | float) -> tuple[float | None, float | None]:
    """Read ``0.01`` as the largest drop, or ``99%`` as the share to keep; raises ``UsageError``."""
    words = str(text).strip()
    try:
        value = float(words.removesuffix("%"))
    except ValueError as err:
        raise UsageError(
            f"--tolerance {words}: a drop such as 0.01 is expected, or a share such as 99%"
        ) from err
    relative = words.endswith("%")
    if not 0 <= value <= (100 if relative else 1):
        raise UsageError(f"tolerance {words} is not between {'0% and 100%' if relative else '0 and 1'}")
    return (None, value / 100) if relative else (value, None)


def read_class_tolerances(text: str) -> tuple[tuple[str, float], ...]:
    """Read ``pole=0.03,sign=0.05``; raises ``UsageError`` where it is not so."""
    found = {}
    for part in text.split(","):
        name, equals, value = part.rpartition("=")
        drop = read_tolerance(value)[0] if equals and name.strip() else None
        if drop is None:
            raise UsageError(f"--class-tolerance {part}: CLASS=DROP is expected, such as pole=0.03")
        found[name.strip()] = drop
    return tuple(found.items())
