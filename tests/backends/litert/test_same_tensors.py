"""A tensor is known by what it holds, in whatever order of axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.litert.same_tensors import Values, _matches, _see

RNG = np.random.default_rng(7)
NHWC = (0, 2, 3, 1)


def seen(**inputs: tuple[NDArray[np.float32], ...]) -> Values:
    found: Values = {}
    for name, values in inputs.items():
        for one in values:
            _see(found, name, one)
    return found


def test_the_order_of_axes_is_found_also_where_all_sides_are_equal() -> None:
    cube = RNG.normal(size=(1, 4, 4, 4)).astype(np.float32)
    wide = RNG.normal(size=(1, 3, 4, 6)).astype(np.float32)
    ours = seen(cube=(cube,), wide=(wide,), same=(wide + 1,))
    theirs = seen(a=(wide.transpose(NHWC),), b=(cube.transpose(NHWC),), c=(wide + 1,))
    found = _matches(ours, theirs)
    assert found == {"cube": ("b", (0, 3, 1, 2)), "wide": ("a", (0, 3, 1, 2)), "same": ("c", None)}


def test_what_an_image_does_not_tell_apart_another_does() -> None:
    image, noise = (scale * RNG.uniform(0, 1, (1, 2, 3, 3)).astype(np.float32) for scale in (5, 9))
    ours = seen(plain=(image, noise), clipped=(image, np.minimum(noise, 6)))
    theirs = seen(clip=(image, np.minimum(noise, 6)))
    assert _matches(ours, theirs) == {"clipped": ("clip", None)}


def test_what_differs_by_more_than_rounding_and_what_is_constant_is_not_matched() -> None:
    values = RNG.normal(size=(1, 2, 5, 5)).astype(np.float32)
    off, little = values.copy(), values + np.float32(1e-6)
    off[0, 0, 2, 2] += 0.1
    ours = seen(values=(values,), zeros=(np.zeros((1, 2, 5, 5), np.float32),))
    theirs = seen(off=(off,), zeros=(np.zeros((1, 2, 5, 5), np.float32),))
    assert not _matches(ours, theirs)
    assert _matches(ours, seen(little=(little,))) == {"values": ("little", None)}
