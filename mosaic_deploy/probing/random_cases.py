"""Random cases: one node, or a chain of a few, inside and outside what the rules of a table allow.

Case N of a seed is the same whatever comes before it. Operators are drawn evenly, whatever number of forms
they have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache
from itertools import count
from math import prod

import numpy as np

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.forms import FORMS
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Value, opset_of, versions_of
from mosaic_deploy.specs.precision import Precision

_CHAINS = 0.25
"""Share of cases that are chains."""
_BEYOND = 0.1
"""Share of cases of a rank that the form does not name."""
_TRIES = 30
"""Draws of an operator (or of a chain's next one) before another operator has its turn."""
_ELEMENTS = 250_000
"""Most that a node may give: more only takes time."""


def random_cases(
    seed: int, precisions: Sequence[Precision], *, forms: Mapping[str, tuple[Form, ...]] = FORMS
) -> Iterator[Case]:
    """Draw cases without end.

    Args:
        seed: of all of them.
        precisions: those that the compiler is tried at.
        forms: by operator, the ways to use it.
    """
    for number in count():
        rng = np.random.default_rng([seed, number])
        case = None
        while case is None:
            drawer = _Drawer(rng, f"{seed}.{number}", forms)
            wanted = precisions[int(rng.integers(len(precisions)))]
            case = drawer.chain(wanted) if rng.random() < _CHAINS else drawer.single(wanted)
        yield case


class _Drawer:
    """Draws one case."""

    def __init__(self, rng: np.random.Generator, number: str, forms: Mapping[str, tuple[Form, ...]]) -> None:
        self._rng, self._number, self._forms = rng, number, forms

    def single(self, wanted: Precision) -> Case | None:
        """A case of one node; None where the operator drawn has none."""
        op = self._one(tuple(self._forms))
        for _ in range(_TRIES):
            form = self._one(self._forms[op])
            if (begun := self._begin(form)) is not None:
                sketch, text = begun
                precision = _possible(wanted, sketch, [form])
                return self._finish(sketch, f"{op}/{form.name} {text}", [form], precision)
        return None

    def chain(self, wanted: Precision) -> Case | None:
        """A case of two to four nodes; None where no form fits behind the first."""
        first = self._one(self._forms[self._one(tuple(self._forms))])
        begun = self._begin(first)
        if begun is None:
            return None
        sketch, text = begun
        chosen, texts = [first], [f"{first.op}/{first.name} {text}"]
        length = int(self._rng.integers(2, 5))
        for _ in range(_TRIES):
            form = self._one(self._forms[self._one(tuple(self._forms))])
            values = self._values(form)
            longer = _continued(sketch, form, values)
            if longer is not None:
                sketch = longer
                chosen.append(form)
                texts.append(f"{form.op}/{form.name}{_said(values)}")
            if len(chosen) == length:
                break
        if len(chosen) == 1:
            return None
        return self._finish(sketch, " + ".join(texts), chosen, _possible(wanted, sketch, chosen))

    def _begin(self, form: Form) -> tuple[Sketch, str] | None:
        """A sketch with one node of this form, and what was drawn; None where that is impossible."""
        version, dtype, rank = (
            self._one(_versions(form.op, form.least)),
            self._one(form.dtypes),
            self._rank(form),
        )
        values = self._values(form)
        sketch = Sketch(
            opset=opset_of(form.op, version), dtype=dtype, rank=rank,
            seed=int(self._rng.integers(2**32)), random=True, values=values,
        )  # fmt: skip
        drawn = _drawn(sketch, form)
        return None if drawn is None else (drawn, f"v{version} {dtype} rank {rank}{_said(values)}")

    def _rank(self, form: Form) -> int:
        if self._rng.random() >= _BEYOND:
            return self._one(form.ranks)
        return self._one(form.near_ranks or form.ranks)

    def _values(self, form: Form) -> dict[str, Value]:
        return {axis: self._one((*plain, *form.more.get(axis, ()))) for axis, plain in form.axes.items()}

    def _finish(self, sketch: Sketch, text: str, forms: Sequence[Form], precision: Precision) -> Case | None:
        try:
            model = sketch.model()
        except UnfitError:
            return None
        return Case(
            name=f"random {self._number} {precision} {text}",
            op="+".join(form.op for form in forms),
            form="+".join(form.name for form in forms),
            sort="random" if len(forms) == 1 else "chain",
            model=model,
            feeds=sketch.feeds,
            precision=precision,
        )

    def _one[T](self, of: Sequence[T]) -> T:
        return of[int(self._rng.integers(len(of)))]


def _continued(sketch: Sketch, form: Form, values: Mapping[str, Value]) -> Sketch | None:
    """The sketch with one node more, or None where the form does not fit; the sketch given stays as it is."""
    wire = sketch.outputs[0]
    if wire.dtype not in form.dtypes or wire.rank not in form.ranks:
        return None
    present = [version for version in _versions(form.op, 1) if version <= sketch.opset]
    if not present or present[-1] not in _versions(form.op, form.least):
        return None
    longer = deepcopy(sketch)
    longer.chain(values)
    return _drawn(longer, form)


@cache
def _versions(op: str, least: int) -> tuple[int, ...]:
    return versions_of(op, least)


def _drawn(sketch: Sketch, form: Form) -> Sketch | None:
    try:
        form.draw(sketch)
    except UnfitError:
        return None
    small = all(0 < prod(wire.shape) <= _ELEMENTS for wire in sketch.outputs)
    return sketch if small else None


def _possible(wanted: Precision, sketch: Sketch, forms: Sequence[Form]) -> Precision:
    """The precision, or ``float`` where the forms or the data make no sense quantised."""
    floats = any(str(feed.dtype) == "float32" for feed in sketch.feeds.values())
    return wanted if floats and all(form.quantized for form in forms) else "float"


def _said(values: Mapping[str, Value]) -> str:
    return "".join(f" {axis}={value}" for axis, value in values.items())
