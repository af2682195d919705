"""What an exported file promises: its operators, names, shapes, bytes, and that it computes the same."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.facts import nodes
from mosaic_deploy.graph.macs import macs
from mosaic_deploy.graph.reader.read import read_model
from mosaic_deploy.zoo import export as exporting
from mosaic_deploy.zoo.export import export
from mosaic_deploy.zoo.layers.layers import Conv, ConvBN, Sampling
from mosaic_deploy.zoo.network import Head, Network
from mosaic_deploy.zoo.networks.mosaic import build


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Tiny(Network):
    """A strided convolution, a pool and a resize: what exporters trip over, in little time."""

    def __init__(self, head: Head = "logits", sampling: Sampling = "half_pixel") -> None:
        super().__init__(head=head, sampling=sampling)
        self.stem = ConvBN(Conv(3, 4, 3, stride=2))
        self.last = ConvBN(Conv(4, 3, 1), activation="none")
        nn.init.uniform_(self.stem.bn.bias, 0.1, 0.3)

    def scores(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        small: Tensor = self.resize(nn.functional.avg_pool2d(x, 4, 4), (int(x.shape[2]), int(x.shape[3])))
        y: Tensor = self.last(x + small)
        return y


class Enlarging(Tiny):
    """Repeats pixels four times: where a nearest resize rounds matters from three times on."""

    def scores(self, image: Tensor) -> Tensor:
        scores = super().scores(image)
        small = nn.functional.max_pool2d(scores, 4, 4)
        return scores + nn.functional.interpolate(small, scale_factor=4, mode="nearest")


class Fickle(Tiny):
    """Computes something else once it is being exported."""

    def scores(self, image: Tensor) -> Tensor:
        return super().scores(image) * (1.01 if torch.compiler.is_exporting() else 1.0)


class Stubborn(Tiny):
    """Branches on its data, which no static graph can."""

    def scores(self, image: Tensor) -> Tensor:
        y = super().scores(image)
        return y if float(image.sum()) > 1e9 else -y


def run(path: Path, image: Tensor) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return cast("NDArray[Any]", session.run(None, {"image": image.numpy()})[0])


def lively(net: nn.Module) -> None:
    """Give batch norms statistics, so that folding them matters."""
    torch.manual_seed(4)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(cast("Tensor", module.running_mean), -0.1, 0.1)
            nn.init.uniform_(cast("Tensor", module.running_var), 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.8, 1.6)
            nn.init.uniform_(module.bias, -0.2, 0.4)


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Network]:
    """Export the whole network, with every layer of the real one, at a size that runs quickly."""
    torch.manual_seed(0)
    net = build(classes=5, bins=[1, 2, 4], sampling="asymmetric", head="classmap")
    lively(net)
    path = tmp_path_factory.mktemp("mosaic") / "mosaic.onnx"
    export(net, path, height=96, width=128)
    return path, net


@pytest.mark.slow
def test_mosaic_needs_few_operators_and_no_padding(mosaic: tuple[Path, Network]) -> None:
    model = onnx.load(mosaic[0])
    onnx.checker.check_model(model, full_check=True)
    assert Counter(node.op_type for node in model.graph.node) == {
        "Conv": 64, "Relu": 48, "Add": 11, "AveragePool": 3, "Split": 2,
        "Concat": 4, "Resize": 6, "ArgMax": 1, "Cast": 1,
    }  # fmt: skip
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]


@pytest.mark.slow
def test_mosaic_folds_to_one_weight_and_bias_per_convolution(mosaic: tuple[Path, Network]) -> None:
    graph = onnx.load(mosaic[0]).graph
    convs = [node for node in graph.node if node.op_type == "Conv"]
    assert all(list(node.input[1:]) == [f"{node.name}.weight", f"{node.name}.bias"] for node in convs)
    assert not [t.name for t in graph.initializer if t.external_data]


@pytest.mark.slow
def test_mosaic_computes_the_same_on_new_images(mosaic: tuple[Path, Network]) -> None:
    path, net = mosaic
    image = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        expected = net(image).numpy()
    found = run(path, image)
    assert found.dtype == np.int32
    assert (found == expected).mean() > 0.999
    assert len(np.unique(expected)) > 1


@pytest.mark.slow
def test_mosaic_costs_what_torch_counts(mosaic: tuple[Path, Network]) -> None:
    path, net = mosaic
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        net(torch.zeros(1, 3, 96, 128))
    assert sum(2 * macs(node) for node in nodes(read_model(path))) == counter.get_total_flops() > 1e8


@pytest.mark.slow
def test_mosaics_resizes_are_asymmetric_single_nodes(mosaic: tuple[Path, Network]) -> None:
    resizes = [node for node in onnx.load(mosaic[0]).graph.node if node.op_type == "Resize"]
    for node in resizes:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        assert attributes == {"mode": b"linear", "coordinate_transformation_mode": b"asymmetric"}


@pytest.mark.slow
def test_shapes_are_static_everywhere(mosaic: tuple[Path, Network]) -> None:
    graph = onnx.load(mosaic[0]).graph
    values = [*graph.input, *graph.output, *graph.value_info]
    assert len(values) == len(graph.node) + 1 + 2, "one per node and the input, one more per split"
    for value in values:
        dims = value.type.tensor_type.shape.dim
        assert dims
        assert all(d.WhichOneof("value") == "dim_value" and d.dim_value > 0 for d in dims), value.name
    assert [v.name for v in (*graph.input, *graph.output)] == ["image", "classmap"]


@pytest.mark.slow
def test_the_file_names_pytorch_modules_and_lines_but_no_machine(mosaic: tuple[Path, Network]) -> None:
    path, net = mosaic
    modules = dict(net.named_modules())
    for node in onnx.load(path).graph.node:
        notes = {entry.key: entry.value for entry in node.metadata_props}
        assert set(notes) == {"module", "source"}
        assert notes["module"] in modules
        for call in notes["source"].split(" > "):
            file, _, line = call.partition(":")
            assert file.startswith("mosaic_deploy/zoo/")
            assert line.isdigit()
    assert str(Path(exporting.__file__).parent.parent).encode() not in path.read_bytes()


@pytest.mark.slow
def test_nodes_and_tensors_are_called_after_modules(mosaic: tuple[Path, Network]) -> None:
    graph = onnx.load(mosaic[0]).graph
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    assert {"backbone.stem.conv.conv", "backbone.blocks.1.add", "decoder.merges.1.resize"} <= set(names)
    for node in graph.node:
        outputs = [name for name in node.output if name != "classmap"]
        assert all(name == node.name or name.startswith(f"{node.name}_") for name in outputs)


@pytest.mark.parametrize("head", ["logits", "lowres", "classmap"])
def test_every_head_is_exported_under_its_name(head: Head, tmp_path: Path) -> None:
    net, image = Tiny(head), torch.randn(1, 3, 16, 24)
    lively(net)
    export(net, tmp_path / "net.onnx", height=16, width=24)
    assert onnx.load(tmp_path / "net.onnx").graph.output[0].name == head
    with torch.no_grad():
        np.testing.assert_allclose(run(tmp_path / "net.onnx", image), net(image), rtol=1e-4, atol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
    assert net.head == head


@pytest.mark.parametrize("sampling", ["half_pixel", "asymmetric"])
def test_each_sampling_is_one_resize_in_onnxs_words(sampling: Sampling, tmp_path: Path) -> None:
    export(Tiny("lowres", sampling), tmp_path / "net.onnx", height=16, width=16)
    nodes = onnx.load(tmp_path / "net.onnx").graph.node
    assert [n.op_type for n in nodes] == ["Conv", "Relu", "AveragePool", "Resize", "Add", "Conv"]
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in nodes[3].attribute}
    assert attributes["coordinate_transformation_mode"] == sampling.encode()


def test_a_nearest_resize_rounds_as_pytorch_does(tmp_path: Path) -> None:
    net = Enlarging("lowres")
    export(net, tmp_path / "net.onnx", height=32, width=64)
    resizes = [n for n in onnx.load(tmp_path / "net.onnx").graph.node if n.op_type == "Resize"]
    rounding = [a.s for node in resizes for a in node.attribute if a.name == "nearest_mode"]
    assert rounding == [b"floor"]


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Tiny("logits", "asymmetric")
    for name in ("one.onnx", "two.onnx"):
        export(net, tmp_path / name, height=16, width=16)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


class Twice(Tiny):
    """Runs one convolution on two tensors, as kernels shared among bins do."""

    def scores(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        y: Tensor = self.last(x) + self.last(2 * x)
        return y


def test_a_layer_that_runs_twice_has_two_nodes(tmp_path: Path) -> None:
    net = Twice("lowres")
    lively(net)
    export(net, tmp_path / "net.onnx", height=16, width=16)
    convs = [n.name for n in onnx.load(tmp_path / "net.onnx").graph.node if n.op_type == "Conv"]
    assert convs == ["stem.conv.conv", "last.conv.conv", "last.conv.conv_1"]


@pytest.mark.parametrize("head", ["logits", "classmap"])
def test_a_graph_that_strays_is_not_written(head: Head, tmp_path: Path) -> None:
    if head == "logits":
        net: Network = Fickle(head)
    else:
        net = Swapped(head)
    lively(net)
    with pytest.raises(ModelError, match=r"differs from PyTorch by .* more than") as caught:
        export(net, tmp_path / "net.onnx", height=16, width=16)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class Swapped(Tiny):
    """Exchanges its classes once it is being exported, which even a class map shows."""

    def scores(self, image: Tensor) -> Tensor:
        y = super().scores(image)
        return y.flip(1) if torch.compiler.is_exporting() else y


def test_a_network_that_cannot_be_a_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"Stubborn: PyTorch cannot export it: ") as caught:
        export(Stubborn(), tmp_path / "net.onnx", height=16, width=16)
    assert "\n" not in str(caught.value)


def test_an_image_that_is_too_small_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="at least 241 pixels"):
        export(build(classes=2), tmp_path / "net.onnx", height=64, width=64)


def test_exporting_is_silent_and_leaves_logging_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        export(Tiny(), tmp_path / "net.onnx", height=16, width=16)
    assert heard == []
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET
