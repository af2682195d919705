"""The graphs that passes are tested on are what ``read_model`` would have given them."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from mosaic_deploy.graph.reader.read import read_model
from tests.graph.awkward_graphs import se_block, unique, vit_block
from tests.graph.passes.agreement import image, random


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(se_block(), id="convolutions"),
        pytest.param(vit_block(), id="shapes-from-constants"),
        pytest.param(unique(), id="unknown-shapes"),
        pytest.param(
            image(
                "s = Shape(image) n = Slice(s, i, j) c = Concat <axis = 0> (n, all) y = Reshape(image, c)",
                i=[1],
                j=[2],
                all=[-1],
            ),
            id="computed-shape",
        ),
        pytest.param(image("y = Conv(image, w)", w=random(8, 4, 6, 8)), id="large-initializer"),
        pytest.param(
            image(
                f"w = Constant <value = float[4, 6, 48] {{{', '.join('0' * 1152)}}}> () y = MatMul(image, w)",
                shape="1,4,8,6",
            ),
            id="large-node",
        ),
        pytest.param(
            image("g = GroupNormalization <num_groups = 2> (image, s, s) y = Relu(g)", s=random(2)),
            id="not-inferred-by-onnx",
        ),
    ],
)
def test_shapes_are_those_of_a_model_read_from_its_file(model: onnx.ModelProto, tmp_path: Path) -> None:
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    bare.graph.output[0].type.tensor_type.ClearField("shape")
    path = tmp_path / "model.onnx"
    path.write_bytes(bare.SerializeToString())
    assert read_model(path) == model
