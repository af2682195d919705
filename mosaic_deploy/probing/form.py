"""Forms: the ways to use an operator that probing tries, each with its axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product

from mosaic_deploy.probing.sketch import STANDARD, Sketch, Value, versions_of


@dataclass(frozen=True, slots=True)
class Form:
    """One way to use one operator."""

    op: str
    """An operator of ONNX's own domain."""
    name: str
    """Distinguishes the operator's forms: ``dense``, ``linear-half-pixel``."""
    draw: Callable[[Sketch], object]
    """Adds the node to a sketch: first its data and constants, then ``sketch.node(...)``, once."""
    ranks: tuple[int, ...] = (4,)
    """Of the data."""
    dtypes: tuple[str, ...] = ("float32",)
    """Of the data, as numpy says; float32 is also tried quantised."""
    quantized: bool = True
    """Whether float32 is worth trying quantised."""
    axes: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """What else varies, all combinations: ``{"kernel": (1, 3, 5)}``. The first value is the plain one."""
    more: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """Further values of the same axes, tried one at a time, and drawn for random cases."""
    discriminators: tuple[str, ...] = ()
    """Constraints (``constraints/``) that may decide: rules are told apart by them."""
    least: int = 1
    """The oldest version of the operator in which the form can be written."""

    @property
    def versions(self) -> tuple[int, ...]:
        """Versions of the operator that it is tried in, oldest first."""
        return versions_of(self.op, self.least)

    def grid(self) -> list[dict[str, Value]]:
        """Every combination of the axes' values, the plain one first."""
        names = list(self.axes)
        return [dict(zip(names, values, strict=True)) for values in product(*self.axes.values())]

    def beyond(self) -> list[dict[str, Value]]:
        """The plain combination with one further value each: what lies just outside the grid."""
        plain = self.grid()[0]
        return [
            plain | {axis: value}
            for axis, values in self.more.items()
            for value in values
            if axis in self.axes and value not in self.axes[axis]
        ]

    @property
    def near_ranks(self) -> tuple[int, ...]:
        """Ranks one away from those of the form, smallest first."""
        near = {rank + step for rank in self.ranks for step in (-1, 1)} - set(self.ranks)
        return tuple(sorted(near & set(STANDARD)))
