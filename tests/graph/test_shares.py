from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.shares import gives_shares, shares


def ending(*kinds: str) -> onnx.ModelProto:
    """A chain of operators of one input; not all of them valid, which nobody asks here."""
    nodes = [onnx.helper.make_node(kind, [f"t{i}"], [f"t{i + 1}"]) for i, kind in enumerate(kinds)]
    given, made = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, 4, 4])
        for name in ("t0", f"t{len(kinds)}")
    )
    return onnx.helper.make_model(onnx.helper.make_graph(nodes, "net", [given], [made]))


@pytest.mark.parametrize(
    ("kinds", "shares"),
    [
        pytest.param(("Relu", "Sigmoid"), True, id="a mask"),
        pytest.param(("HardSigmoid", "Resize", "Transpose"), True, id="resized"),
        pytest.param(("Sigmoid", "Relu"), False, id="in front of more"),
        pytest.param(("Softmax",), False, id="of many classes, whose shares may all be small"),
        pytest.param(("Relu",), False, id="scores"),
        pytest.param((), False, id="nothing"),
    ],
)
def test_whether_a_network_gives_shares(kinds: tuple[str, ...], shares: bool) -> None:
    assert gives_shares(ending(*kinds)) is shares


def test_all_of_its_outputs_must_be_shares() -> None:
    model = ending("Relu", "Sigmoid")
    model.graph.output.append(onnx.helper.make_tensor_value_info("t1", onnx.TensorProto.FLOAT, [1, 1, 4, 4]))
    assert not gives_shares(model)
    assert shares(model) == {"t2"}
