from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mosaic_deploy.artifact.stored import stored_input, stored_output
from mosaic_deploy.backends.litert.xnnpack import feed
from mosaic_deploy.errors import ModelError
from mosaic_deploy.quantize.boundary import to_floats, to_integers

SHAPE = (1, 3, 256, 1)
PIXELS = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, None, :, None], SHAPE).copy()
GRID = {"shape": list(SHAPE), "dtype": "uint8", "scale": 1 / 128, "zero_point": 128}
EXACT = {"pixel_factor": 1, "pixel_shift": 0.0}
SHIFTED = {"dtype": "int8", "zero_point": 0, "pixel_factor": 1, "pixel_offset": -128, "pixels": None}


WIDE = {"dtype": "uint16", "pixel_factor": 256, "zero_point": 32768, "scale": 1 / 32768}
CALIBRATED = {"pixel_factor": None, "pixel_shift": 0.0, "scale": 0.011}
INSIDE = {"scale": 0.011, "pixel_offset": None, "pixels": [128.0, 128.0]}
FLOATS = (PIXELS.astype(np.float32) - 128) / 128


@pytest.mark.parametrize(
    ("facts", "backend", "fed"),
    [
        pytest.param({**GRID, **EXACT}, to_integers, (PIXELS, FLOATS), id="bytes"),
        pytest.param({**GRID, **EXACT, **WIDE}, to_integers, (PIXELS, FLOATS), id="16 bits"),
        pytest.param(
            {**GRID, **CALIBRATED}, to_integers, (FLOATS,), id="calibrated: bytes go on no other grid"
        ),
        pytest.param({**GRID, **SHIFTED, "pixel_shift": 0.5}, feed, (PIXELS, FLOATS), id="signed"),
        pytest.param({**GRID, **SHIFTED, **INSIDE}, feed, (PIXELS, FLOATS), id="normalised inside"),
    ],
)
def test_it_is_what_the_backends_feed(
    facts: dict[str, Any], backend: Any, fed: tuple[NDArray[Any], ...]
) -> None:
    for values in fed:
        expected = backend(values, facts)
        given = stored_input(values, facts)
        assert given.dtype == expected.dtype
        np.testing.assert_array_equal(given, expected)


def test_integers_come_back_exactly() -> None:
    facts = {"dtype": "uint16", "scale": 0.069977, "zero_point": 777}
    integers = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(stored_output(to_floats(integers, facts), facts), integers)


def test_what_was_not_quantised_stays() -> None:
    facts = {"dtype": "float32", "scale": None, "zero_point": None}
    scores = np.array([0.25, -7.5], np.float32)
    assert stored_output(scores, facts) is scores


def test_another_shape_is_refused() -> None:
    with pytest.raises(ModelError, match="the input has shape"):
        stored_input(PIXELS[:, :2], GRID)
