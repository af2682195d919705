"""Cases: a model, its inputs and the precision to try it at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from zlib import crc32

from mosaic_deploy.backends.oracle.case import Case, Sort
from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Value, opset_of
from mosaic_deploy.specs.precision import Precision

USUAL_OPSET = 18
"""The full grid is tried in the version that this opset means; others with a case per type."""

USUAL_RANK = 4
"""That of images: what other versions are tried at, where the form has it."""


def grid_cases(form: Form, precisions: Sequence[Precision], *, around: bool = True) -> Iterator[Case]:
    """Every case of a form's grid, at ``float`` and those of ``precisions`` that integers make sense for.

    Behind the grid come its surroundings, where they are asked for: a further value of one axis, or a rank
    beside the form's, with all else plain.
    """
    usual = _usual(form)
    for version in form.versions:
        grid = form.grid() if version == usual else form.grid()[:1]
        for rank in form.ranks if version == usual else (_plain_rank(form),):
            for dtype in form.dtypes:
                for values in grid:
                    sort: Sort = "grid" if version == usual else "version"
                    yield from _tried(form, version, dtype, rank, values, precisions, sort)
    for dtype in form.dtypes if around else ():
        for rank, plain in _around(form):
            yield from _tried(form, usual, dtype, rank, plain, precisions, "grid")


def _around(form: Form) -> Iterator[tuple[int, Mapping[str, Value]]]:
    """Ranks and values just outside the grid; constraints may hold at one rank and not at another."""
    for rank in form.ranks if form.discriminators else (_plain_rank(form),):
        yield from ((rank, values) for values in form.beyond())
    yield from ((rank, form.grid()[0]) for rank in form.near_ranks)


def _plain_rank(form: Form) -> int:
    return USUAL_RANK if USUAL_RANK in form.ranks else form.ranks[-1]


def _usual(form: Form) -> int:
    older = [version for version in form.versions if version <= USUAL_OPSET]
    return older[-1] if older else form.versions[0]


def _tried(
    form: Form,
    version: int,
    dtype: str,
    rank: int,
    values: Mapping[str, Value],
    precisions: Sequence[Precision],
    sort: Sort,
) -> Iterator[Case]:
    stem = f"{form.op}/{form.name} v{version} {dtype} rank {rank}"
    axes = "".join(f" {axis}={value}" for axis, value in values.items())
    sketch = Sketch(
        opset=opset_of(form.op, version), dtype=dtype, rank=rank, seed=crc32((stem + axes).encode()),
        random=False, values=values,
    )  # fmt: skip
    try:
        form.draw(sketch)
        model = sketch.model()
    except UnfitError:
        return
    wanted: list[Precision] = ["float"]
    if dtype == "float32" and form.quantized:
        wanted += [p for p in precisions if p != "float"]
    for precision in wanted:
        yield Case(f"{stem} {precision}{axes}", form.op, form.name, sort, model, sketch.feeds, precision)
