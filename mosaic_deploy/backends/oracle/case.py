"""One small model that a compiler is tried on, and how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.specs.precision import Precision

if TYPE_CHECKING:
    import onnx


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
