"""Names and origins on graphs small enough to read."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch

from mosaic_deploy.graph.origin_names import Origin, origins, rename

TWINS = """
<ir_version: 9, opset_import: ["" : 18]>
g (float[1, 2, 4, 4] image) => (float[1, 2, 4, 4] logits)
<float[2, 2, 1, 1] w = {1, 2, 3, 4}, float[2] b7 = {0, 1}, float one = {1}> {
   v1 = Conv (image, w, b7)
   v2 = Conv (v1, w, b7)
   v3, v4 = Split <axis = 1, num_outputs = 2> (v2)
   v5 = Concat <axis = 1> (v4, v3)
   v6 = Add (v5, one)
   logits = Add (v6, one)
}
"""

LIBRARY = Path(torch.__file__).parent


def twins() -> onnx.ModelProto:
    """Parse the text; its weight gets the name that PyTorch would give it, which ONNX text cannot hold."""
    model = onnx.parser.parse_model(TWINS)
    model.graph.initializer[0].name = "a.conv.weight"
    for node in model.graph.node[:2]:
        node.input[1] = "a.conv.weight"
    return model


def graph(facts: dict[str, Origin]) -> onnx.GraphProto:
    model = twins()
    rename(model.graph, facts)
    onnx.checker.check_model(model, full_check=True)
    return model.graph


def test_names_follow_modules_and_stay_different() -> None:
    facts = {"v3": Origin("a", "x.py:1"), "v6": Origin("a.add", "x.py:2"), "logits": Origin("a", "x.py:3")}
    named = graph(facts)
    assert [node.name for node in named.node] == [
        "a.conv", "a.conv_1", "a.split", "concat", "a.add", "a.add_1",
    ]  # fmt: skip
    assert [list(node.output) for node in named.node] == [
        ["a.conv"], ["a.conv_1"], ["a.split_0", "a.split_1"], ["concat"], ["a.add"], ["logits"],
    ]  # fmt: skip
    assert [t.name for t in named.initializer] == ["a.conv.weight", "a.conv.bias", "a.add.input_1"]
    assert list(named.node[1].input) == ["a.conv", "a.conv.weight", "a.conv.bias"]


def test_a_convolutions_module_is_its_own_not_the_folded_batch_norms() -> None:
    named = graph({"v1": Origin("a.bn", "x.py:1 > y.py:2")})
    notes = {entry.key: entry.value for entry in named.node[0].metadata_props}
    assert notes == {"module": "a.conv", "source": "x.py:1 > y.py:2"}
    assert not named.node[2].metadata_props


def note(node: onnx.NodeProto, scopes: list[str], trace: str) -> None:
    for key, value in (("name_scopes", repr(scopes)), ("stack_trace", trace)):
        entry = node.metadata_props.add()
        entry.key, entry.value = f"pkg.torch.onnx.{key}", value


def test_origins_leave_out_torch_and_the_machine(tmp_path: Path) -> None:
    package = tmp_path / "nets"
    package.mkdir()
    (package / "__init__.py").touch()
    frames = [(package / "net.py", 7), (tmp_path / "alone.py", 9), (Path(torch.__file__).parent / "nn.py", 3)]
    trace = "".join(f'File "{file}", line {line}, in forward\n    x = f(x)\n' for file, line in frames)
    model = twins()
    note(model.graph.node[0], ["", "a", "a.bn", "batch_norm"], trace)
    assert origins(model, library=LIBRARY) == {"v1": Origin("a.bn", "nets/net.py:7 > alone.py:9")}


def test_a_node_without_origin_gets_what_its_readers_share(tmp_path: Path) -> None:
    model = twins()
    trace = f'File "{tmp_path / "net.py"}", line 7, in forward\n'
    note(model.graph.node[3], ["", "a", "a.b", "cat"], trace)
    assert origins(model, library=LIBRARY)["v3"] == Origin("a.b", "net.py:7")
