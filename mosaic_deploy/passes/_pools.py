"""The windows of a pooling node, read with the operator's defaults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.passes._site import Site


@dataclass(frozen=True, slots=True)
class Windows:
    """Of a two-dimensional pool without automatic padding."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    before: tuple[int, ...]
    """Height and width of the input."""
    after: tuple[int, ...]

    @property
    def overshoot(self) -> tuple[int, ...]:
        """How far the last window reaches beyond the padded image, per axis; 0 if it does not."""
        return tuple(
            max(0, (self.after[i] - 1) * self.strides[i] + self.span(i) - self.padded(i)) for i in (0, 1)
        )

    def span(self, axis: int) -> int:
        """Pixels from a window's first to its last, both included."""
        return (self.kernel[axis] - 1) * self.dilations[axis] + 1

    def padded(self, axis: int) -> int:
        """Side of the image with its padding."""
        return self.before[axis] + self.begins[axis] + self.ends[axis]

    def counts(self, axis: int, *, padding: bool) -> NDArray[np.int64]:
        """Taps of each window that lie in the image, or in the image with its padding, (after,)."""
        first = np.arange(self.after[axis]) * self.strides[axis]
        taps = first[:, None] + np.arange(self.kernel[axis]) * self.dilations[axis]
        begin, end = (
            (0, self.padded(axis)) if padding else (self.begins[axis], self.begins[axis] + self.before[axis])
        )
        counted: NDArray[np.int64] = ((taps >= begin) & (taps < end)).sum(axis=1)
        return counted


def read_windows(site: Site) -> Windows | None:
    """Read a pool on (N, C, H, W) of known shape; None for any other."""
    before, after = site.shape(), site.out_shape
    if before is None or after is None or len(before) != 4 or site.text("auto_pad", "NOTSET") != "NOTSET":
        return None
    pads = site.numbers("pads", (0, 0, 0, 0))
    return Windows(
        kernel=site.numbers("kernel_shape"),
        strides=site.numbers("strides", (1, 1)),
        dilations=site.numbers("dilations", (1, 1)),
        begins=pads[:2],
        ends=pads[2:],
        before=before[2:],
        after=after[2:],
    )
