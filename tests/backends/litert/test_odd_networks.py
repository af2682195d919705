"""Networks that quantisers trip over, quantised, run on the real XNNPACK and on LiteRT's own kernels."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from mosaic_deploy.backends.litert.oracle import convert
from mosaic_deploy.backends.oracle.fleet import try_all
from tests.backends.litert.odd_networks import BIASES, FIXED, MASKS, SCALARS, VARIANCES, ZEROS, case

pytestmark = pytest.mark.skipif(bool(convert.missing()), reason=convert.missing())

CLOSE = 0.04
"""Of the range. Saturated biases and stretched grids cost 0.06 to 0.7 of it here."""


@pytest.mark.parametrize(
    "networks",
    [
        pytest.param(BIASES, id="biases"),
        pytest.param(ZEROS, id="zeros"),
        pytest.param(SCALARS, id="scalars"),
        pytest.param(FIXED, id="fixed-grids"),
        pytest.param(MASKS, id="masks"),
        pytest.param(VARIANCES, id="variances"),
    ],
)
def test_integers_are_close_to_floats(networks: dict[str, onnx.ModelProto], tmp_path: Path) -> None:
    """The oracle holds XNNPACK against LiteRT's own kernels besides, so these take the file too."""
    cases = [case(name, model) for name, model in networks.items()]
    tried = try_all("litert-xnnpack", cases, jobs=1, everywhere=True, folder=tmp_path)
    found = {one.name: outcome for one, (outcome,) in tried}
    assert len(found) == len(networks)
    assert {n: o.error for n, o in found.items() if o.found not in ("runs", "falls-back")} == {}
    assert {n: o.difference for n, o in found.items() if (o.difference or 0) > CLOSE} == {}


def test_bounds_that_leave_out_zero_load_in_float(tmp_path: Path) -> None:
    cases = [case(name, SCALARS[name], "float") for name in ("maximum", "minimum", "clip above 0", "clip")]
    tried = try_all("litert-xnnpack", cases, jobs=1, everywhere=True, folder=tmp_path)
    assert {one.name: outcome.found for one, (outcome,) in tried} == dict.fromkeys(
        [one.name for one in cases], "runs"
    )
