"""Every form, by operator; a new one is an entry in the file of its family."""

from __future__ import annotations

from collections.abc import Mapping

from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.forms import (
    activation,
    arithmetic,
    convolution,
    indexing,
    logic,
    matrix,
    movement,
    normalisation,
    pooling,
    quantize,
    reduction,
    resize,
)

_ALL: tuple[tuple[Form, ...], ...] = (
    activation.FORMS,
    arithmetic.FORMS,
    logic.FORMS,
    reduction.FORMS,
    convolution.FORMS,
    pooling.FORMS,
    resize.FORMS,
    normalisation.FORMS,
    matrix.FORMS,
    movement.FORMS,
    indexing.FORMS,
    quantize.FORMS,
)


def _by_op() -> dict[str, tuple[Form, ...]]:
    found: dict[str, list[Form]] = {}
    for form in (form for family in _ALL for form in family):
        found.setdefault(form.op, []).append(form)
    return {op: tuple(forms) for op, forms in sorted(found.items())}


FORMS: Mapping[str, tuple[Form, ...]] = _by_op()
"""Operators in alphabetical order, with their forms."""
