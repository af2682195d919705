"""Cases: a model, its inputs and the precision to try it at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.ops import Precision
from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Value, opset_of

if TYPE_CHECKING:
    import onnx

USUAL_OPSET = 18
"""The full grid is tried in the version that this opset means; others with a case per type."""

USUAL_RANK = 4
"""That of images: what other versions are tried at, where the form has it."""

Sort = Literal["grid", "version", "random", "chain"]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to try. The model is float (or integer): the compiler quantises it as its recipe does."""

    name: str
    """Unique, such as ``Conv/dense v11 float32 rank 4 w8a8 kernel=3 stride=2``."""
    op: str
    """The operator, or those of a chain joined by ``+``."""
    form: str
    sort: Sort
    model: onnx.ModelProto
    feeds: Mapping[str, NDArray[Any]]
    precision: Precision

    def write(self, folder: Path, stem: str) -> None:
        """Write ``STEM.onnx`` and ``STEM.npz``."""
        (folder / f"{stem}.onnx").write_bytes(self.model.SerializeToString())
        np.savez(
            folder / f"{stem}.npz", allow_pickle=False, **{k: np.asarray(v) for k, v in self.feeds.items()}
        )


def grid_cases(form: Form, precisions: Sequence[Precision]) -> Iterator[Case]:
    """Every case of a form's grid, at ``float`` and those of ``precisions`` that integers make sense for."""
    usual = _usual(form)
    for version in form.versions:
        grid = form.grid() if version == usual else form.grid()[:1]
        for rank in form.ranks if version == usual else (_plain_rank(form),):
            for dtype in form.dtypes:
                for values in grid:
                    sort: Sort = "grid" if version == usual else "version"
                    yield from _tried(form, version, dtype, rank, values, precisions, sort)


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
    if dtype == "float32" and form.quantised:
        wanted += [p for p in precisions if p != "float"]
    for precision in wanted:
        yield Case(f"{stem} {precision}{axes}", form.op, form.name, sort, model, sketch.feeds, precision)
