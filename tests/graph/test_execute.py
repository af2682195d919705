"""Sessions and exposed tensors, on ONNX Runtime itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.execute import Port, Session, expose


def graph(body: str, *, shape: str = "2,3") -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g (float[{shape}] x) => (float[{shape}] y) {{ {body} }}'
    )


def test_inner_tensors_are_shown_behind_the_outputs() -> None:
    model = graph("a = Neg(x) b = Abs(a) y = Sqrt(b)")
    session = Session(expose(model))
    assert [port.name for port in session.outputs] == ["y", "a", "b"]
    y, a, b = session.run({"x": np.full((2, 3), 4, np.float32)})
    assert (a == -4).all()
    assert (b == 4).all()
    assert (y == 2).all()
    assert [value.name for value in model.graph.output] == ["y"]


def test_only_what_is_named_is_shown() -> None:
    shown = expose(graph("a = Neg(x) b = Abs(a) y = Sqrt(b)"), ["b", "y"])
    assert [value.name for value in shown.graph.output] == ["y", "b"]


def test_named_outputs_alone_are_returned() -> None:
    session = Session(expose(graph("a = Neg(x) y = Abs(a)")))
    (a,) = session.run({"x": np.ones((2, 3), np.float32)}, ["a"])
    assert (a == -1).all()


def test_a_port_says_what_goes_in() -> None:
    assert Session(graph("y = Neg(x)")).inputs == (Port("x", "tensor(float)", (2, 3)),)
    assert Session(graph("y = Neg(x)", shape="n,3")).inputs[0].shape == (-1, 3)


def test_nodes_run_as_they_stand(tmp_path: Path) -> None:
    """The tensor that is shown has been rounded, whatever the next node makes of it."""
    onnx.save(expose(graph("h = Cast<to = 10>(x) y = Cast<to = 1>(h)"), ["h"]), tmp_path / "m.onnx")
    fine = np.full((2, 3), 1 + 2.0**-12, np.float32)
    y, h = Session(tmp_path / "m.onnx").run({"x": fine})
    assert h.dtype == np.float16
    assert (y == 1).all()


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(b"no model", id="bytes"),
        pytest.param(graph("y = Magic(x)"), id="unknown-operator"),
        pytest.param(Path("nowhere.onnx"), id="no-file"),
    ],
)
def test_what_does_not_load_is_one_line(model: onnx.ModelProto | Path | bytes) -> None:
    with pytest.raises(ModelError, match=r"^ONNX Runtime does not run the graph: [^\n]+$"):
        Session(model, quiet=True)


def test_a_wrong_input_is_one_line() -> None:
    session = Session(graph("y = Neg(x)"), quiet=True)
    with pytest.raises(ModelError, match=r"^ONNX Runtime does not run the graph: [^\n]+$"):
        session.run({"x": np.ones((5, 3), np.float32)})
    with pytest.raises(ModelError, match=r"^ONNX Runtime does not run the graph: [^\n]+$"):
        session.run({})
