"""What a person reads about the input of an artifact."""

from __future__ import annotations

from typing import Any

import pytest

from mosaic_deploy.artifact.feeding import how_to_feed
from mosaic_deploy.specs.contract import Contract

GRID = {"shape": [1, 32, 48, 3], "dtype": "uint8", "scale": 0.02, "zero_point": 114}


@pytest.mark.parametrize(
    ("says", "source", "line"),
    [
        pytest.param(
            {}, {**GRID, "pixel_factor": 1}, "RGB pixels as they are, uint8 NHWC 1x32x48x3", id="bytes"
        ),
        pytest.param(
            {"colour": "BGR"},
            {**GRID, "dtype": "int8", "pixel_factor": 1, "pixel_offset": -128},
            "BGR pixels as they are -128, int8 NHWC 1x32x48x3",
            id="signed",
        ),
        pytest.param(
            {},
            {**GRID, "dtype": "uint16", "pixel_factor": 256},
            "RGB pixels as they are times 256, uint16 NHWC 1x32x48x3",
            id="16-bits",
        ),
        pytest.param(
            {"mean": (127.5,) * 3, "scale": (64,) * 3},
            {**GRID, "dtype": "float32", "scale": None, "zero_point": None},
            "(RGB pixel - 127.5) / 64, float32 NHWC 1x32x48x3",
            id="floats",
        ),
        pytest.param(
            {"mean": (0, 0, 0), "scale": (1, 1, 1)},
            {**GRID, "dtype": "float32", "scale": None, "zero_point": None},
            "RGB pixels as they are, 0 to 255, float32 NHWC 1x32x48x3",
            id="float-pixels",
        ),
        pytest.param(
            {"mean": (123.5, 116, 104), "scale": (58, 57, 57)},
            {**GRID, "pixel_factor": None},
            "round((RGB pixel - [123.5, 116, 104]) / [58, 57, 57] / 0.02) +114, uint8 NHWC 1x32x48x3",
            id="a-grid",
        ),
    ],
)
def test_in_one_line(says: dict[str, Any], source: dict[str, Any], line: str) -> None:
    stated = {"height": 32, "width": 48, "layout": "NHWC", "classes": ("a", "b"), "palette": ((0, 0, 0),) * 2}
    assert how_to_feed(Contract.model_validate({**stated, **says}), source) == line
