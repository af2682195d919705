"""What a Pad node adds where, read with the operator's defaults."""

from __future__ import annotations

from mosaic_deploy.passes._site import Site

Ends = list[tuple[int, int]]


def read_pads(site: Site) -> Ends | None:
    """Pixels before and after each axis; None where they are not constants or some are negative."""
    shape, pads = site.shape(), site.constant(1)
    if shape is None or pads is None:
        return None
    axes = site.constant(3) if site.input(3) else None
    if site.input(3) and axes is None:
        return None
    chosen = range(len(shape)) if axes is None else [int(axis) % len(shape) for axis in axes.reshape(-1)]
    half = len(pads) // 2
    ends = [(0, 0)] * len(shape)
    for index, axis in enumerate(chosen):
        ends[axis] = (int(pads[index]), int(pads[index + half]))
    return ends if all(number >= 0 for pair in ends for number in pair) else None
