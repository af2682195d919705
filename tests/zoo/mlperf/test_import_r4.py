"""The proof that the zoo's MOSAIC is MLPerf's: its official weights, the same classes on real photographs.

What needs MLCommons' files skips unless ``MOSAIC_R4`` names their folder: the TFLite file, the same graph
in floats (``mosaic_r4_float.onnx``) and photographs (``images/*.jpg``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import flatbuffers  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import onnxruntime
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from PIL import Image

from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.specs.registry import read_spec
from mosaic_deploy.zoo import weights
from mosaic_deploy.zoo.export import export
from mosaic_deploy.zoo.layers.layers import Resize
from mosaic_deploy.zoo.mlperf.import_r4 import SWITCHES, fill, import_mlperf
from mosaic_deploy.zoo.mlperf.tflite_graph import parse
from mosaic_deploy.zoo.networks.mosaic import Mosaic, MultiKernel, build
from mosaic_deploy.zoo.weights import load_weights

Ids = NDArray[np.integer]

NAME = "mobile_segmenter_r4_quant_argmax_uint8.tflite"
FOLDER = os.environ.get("MOSAIC_R4")
needs_r4 = pytest.mark.skipif(not FOLDER, reason="MOSAIC_R4 does not name a folder with MLPerf's MOSAIC R4")


@dataclass(frozen=True, slots=True)
class Imported:
    """The files, and what was made of them."""

    folder: Path
    card: Path
    net: Mosaic
    photos: dict[str, NDArray[np.uint8]]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Keep PyTorch from waiting for a second thread where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def r4(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    folder, out = Path(str(FOLDER)), tmp_path_factory.mktemp("r4") / "r4.safetensors"
    card = import_mlperf(folder / NAME, out)
    net = build(**SWITCHES).eval()
    load_weights(net, out)
    photos = {p.stem: np.asarray(Image.open(p).convert("RGB")) for p in sorted(folder.glob("images/*.jpg"))}
    assert len(photos) >= 5
    return Imported(folder, card, net, photos)


def official(r4: Imported, kernels: OpResolverType) -> dict[str, Ids]:
    """Run MLPerf's own file in TFLite's interpreter."""
    interpreter = Interpreter(str(r4.folder / NAME), num_threads=2, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    ids = {}
    for name, pixels in r4.photos.items():
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels[None])
        interpreter.invoke()
        ids[name] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
    return ids


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def prepared(r4: Imported, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return read_spec(ModelCard, r4.card).contract.prepare(pixels)


def in_torch(net: Mosaic, image: NDArray[np.float32]) -> Ids:
    with torch.no_grad():
        return cast("Ids", net(torch.from_numpy(image)).argmax(1)[0].numpy())


@pytest.fixture(scope="module")
def float_ids(r4: Imported) -> dict[str, Ids]:
    """Class maps of ``mosaic_r4_float.onnx``, which takes raw pixels."""
    reference = session(r4.folder / "mosaic_r4_float.onnx")
    name = reference.get_inputs()[0].name
    return {photo: reference.run(None, {name: px[None]})[0][0] for photo, px in r4.photos.items()}


def same(ours: dict[str, Ids], theirs: dict[str, Ids]) -> dict[str, float]:
    """Return the share of pixels with the same class, in [0, 1], per photograph and over all."""
    equal = {name: int((ours[name] == ids).sum()) for name, ids in theirs.items()}
    shares = {name: count / theirs[name].size for name, count in equal.items()}
    shares["all"] = sum(equal.values()) / sum(ids.size for ids in theirs.values())
    print({name: f"{share:.6f}" for name, share in shares.items()})
    return shares


@needs_r4
def test_pytorch_agrees_with_the_float_graph(r4: Imported, float_ids: dict[str, Ids]) -> None:
    ours = {name: in_torch(r4.net, prepared(r4, px)) for name, px in r4.photos.items()}
    assert min(same(ours, float_ids).values()) >= 0.9999


@pytest.fixture(scope="module")
def exported_ids(r4: Imported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ids]:
    """Class maps of our own export, run by ONNX Runtime."""
    path = tmp_path_factory.mktemp("onnx") / "r4.onnx"
    export(r4.net, path, height=512, width=512)
    ours = session(path)
    return {
        name: ours.run(None, {"image": prepared(r4, px)})[0].argmax(1)[0] for name, px in r4.photos.items()
    }


@needs_r4
def test_our_onnx_agrees_with_the_float_graph(
    exported_ids: dict[str, Ids], float_ids: dict[str, Ids]
) -> None:
    assert min(same(exported_ids, float_ids).values()) >= 0.9999


@needs_r4
def test_our_onnx_agrees_with_the_official_file_as_far_as_its_kernels_do(
    r4: Imported, exported_ids: dict[str, Ids], float_ids: dict[str, Ids]
) -> None:
    """Integers round: TFLite's two kernel sets disagree with each other on 3 % of these pixels.

    So the float network can be asked to be as near to either as they are to each other, and as near to
    them as the float graph is.
    """
    plain = official(r4, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    xnnpack = official(r4, OpResolverType.AUTO)
    between, to_plain, to_xnnpack = (
        same(xnnpack, plain),
        same(exported_ids, plain),
        same(exported_ids, xnnpack),
    )
    assert to_plain["all"] >= 0.97
    assert min(to_plain["all"], to_xnnpack["all"]) >= between["all"] - 0.005
    for kernels, ours in ((plain, to_plain), (xnnpack, to_xnnpack)):
        theirs = same(float_ids, kernels)
        assert all(abs(ours[name] - theirs[name]) <= 1e-4 for name in ours)


def swap_halves(net: Mosaic) -> None:
    for module in net.modules():
        if isinstance(module, MultiKernel):
            module.register_forward_pre_hook(lambda _, inputs: inputs[0].roll(inputs[0].shape[1] // 2, 1))


def sample_half_pixels(net: Mosaic) -> None:
    for module in net.modules():
        if isinstance(module, Resize):
            module.sampling = "half_pixel"


def swap_bins(net: Mosaic) -> None:
    net.encoder.bins = (8, 4, 16)


def nothing(net: Mosaic) -> None:
    """Leave it as it is."""


@needs_r4
@pytest.mark.parametrize(
    ("change", "switches", "agrees"),
    [
        pytest.param(nothing, {}, True, id="unchanged"),
        pytest.param(swap_halves, {}, False, id="halves swapped"),
        pytest.param(sample_half_pixels, {}, False, id="half-pixel sampling"),
        pytest.param(swap_bins, {}, False, id="bins swapped"),
        pytest.param(nothing, {"padding": "symmetric"}, False, id="symmetric padding"),
        pytest.param(nothing, {"block13_dilation": 2}, False, id="dilated block 13"),
    ],
)
def test_the_proof_can_fail(
    change: Callable[[Mosaic], None],
    switches: dict[str, object],
    agrees: bool,
    r4: Imported,
    float_ids: dict[str, Ids],
) -> None:
    net = build(**{**SWITCHES, **switches}).eval()
    net.load_state_dict(r4.net.state_dict())
    change(net)
    name = min(r4.photos)
    shares = same({name: in_torch(net, prepared(r4, r4.photos[name]))}, {name: float_ids[name]})
    assert shares[name] >= 0.9999 if agrees else shares[name] < 0.995


@needs_r4
def test_the_card_and_the_notes_say_where_the_weights_are_from(r4: Imported) -> None:
    card = read_spec(ModelCard, r4.card)
    assert card.source.switches == SWITCHES
    assert (card.contract.mean, card.contract.scale) == ((128.0,) * 3, (127.5,) * 3)
    assert len(card.contract.classes) == 32
    assert card.contract.classes[31] == "armchair"
    assert len(set(card.contract.palette)) == 32
    notes = weights.notes_of(r4.card.with_suffix(".safetensors"))
    assert str(notes["source_sha256"]).startswith("da8b3822a22f")
    assert notes["switches"] == SWITCHES
    assert (notes["mean"], notes["scale"]) == (128.0, 127.5)


@needs_r4
def test_nothing_is_replaced_unasked(r4: Imported) -> None:
    out = r4.card.with_suffix(".safetensors")
    with pytest.raises(UsageError, match="exists already"):
        import_mlperf(r4.folder / NAME, out)
    before = out.read_bytes()
    assert import_mlperf(r4.folder / NAME, out, force=True) == r4.card
    assert out.read_bytes() == before


def refused(data: bytes, message: str) -> None:
    """Expect one line that names the file and says ``message``."""
    with pytest.raises(ModelError, match=message) as caught:
        fill(NET, data, Path("some.tflite"))
    assert str(caught.value).startswith("some.tflite: ")
    assert "\n" not in str(caught.value)


with torch.device("meta"):
    NET = build(**SWITCHES)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"TFL3", id="four bytes"),
        pytest.param(np.random.default_rng(0).bytes(100_000), id="noise"),
        pytest.param(b"PK\x03\x04" + bytes(1000), id="zip"),
    ],
)
def test_other_formats_are_refused(data: bytes) -> None:
    refused(data, "not a TFLite file")


@pytest.mark.parametrize("fill_byte", [0x00, 0x01, 0x7F, 0xFF])
def test_a_header_without_a_graph_is_refused(fill_byte: int) -> None:
    refused(b"\x20\x00\x00\x00TFL3" + bytes([fill_byte]) * 4000, "cut off or damaged")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tflite"
    with path.open("wb") as file:
        file.seek(10 * 2**30)
        file.write(b"\0")
    with pytest.raises(ModelError, match="larger than 64 MiB"):
        import_mlperf(path, tmp_path / "out.safetensors")


@pytest.mark.parametrize("name", ["missing.tflite", "."])
def test_a_path_that_is_no_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        import_mlperf(tmp_path / name, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("out", ["weights.onnx", "no/such/folder/w.safetensors"])
def test_an_unusable_output_is_named_first(out: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.safetensors file in a folder that exists"):
        import_mlperf(tmp_path / "missing.tflite", tmp_path / out)


def packed(model: Any) -> bytes:
    """Serialise a model of the schema's object kind."""
    builder = flatbuffers.Builder(1 << 22)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def other_network() -> Any:
    """Make a whole TFLite file of one addition on an image of the right shape."""
    quantized = schema.QuantizationParametersT(scale=[1 / 127.5], zeroPoint=[128])
    tensors = [
        schema.TensorT(shape=[1, 512, 512, 3], type=schema.TensorType.UINT8, quantization=quantized, name=n)
        for n in ("image", "out")
    ]
    add = schema.OperatorT(
        inputs=[0, 0],
        outputs=[1],
        builtinOptionsType=schema.BuiltinOptions.AddOptions,
        builtinOptions=schema.AddOptionsT(),
    )
    graph = schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[1], operators=[add])
    code = schema.OperatorCodeT(builtinCode=schema.BuiltinOperator.ADD)
    return schema.ModelT(version=3, operatorCodes=[code], subgraphs=[graph], buffers=[schema.BufferT()])


def sharing(tables: int, numbers: int) -> bytes:
    """A small file whose tensors and operators all share one long list of scales, and one of inputs."""
    builder = flatbuffers.Builder(1 << 20)

    def vector(size: int, prepend: Callable[[Any], None], value: object, count: int) -> int:
        builder.StartVector(size, count, size)
        for _ in range(count):
            prepend(value)
        return int(builder.EndVector())

    def table(kind: str, **fields: int) -> int:
        names = vars(schema)
        names[f"{kind}Start"](builder)
        for name, value in fields.items():
            names[f"{kind}Add{name}"](builder, value)
        return int(names[f"{kind}End"](builder))

    point = builder.PrependUOffsetTRelative
    scales = vector(4, builder.PrependFloat32, 1.0, numbers)
    zeros = vector(8, builder.PrependInt64, 0, numbers)
    tensor = table(
        "Tensor", Type=3, Quantization=table("QuantizationParameters", Scale=scales, ZeroPoint=zeros)
    )
    ends = vector(4, builder.PrependInt32, 0, numbers)
    operator = table("Operator", Inputs=ends, Outputs=ends)
    graph = table(
        "SubGraph",
        Tensors=vector(4, point, tensor, tables),
        Operators=vector(4, point, operator, tables),
        Inputs=ends,
        Outputs=ends,
    )
    model = table(
        "Model",
        Subgraphs=vector(4, point, graph, 1),
        OperatorCodes=vector(4, point, table("OperatorCode"), 1),
        Buffers=vector(4, point, table("Buffer"), 1),
    )
    builder.Finish(model, file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_lists_that_all_share_are_not_read_over_and_over() -> None:
    assert len(parse(sharing(4, 4), Path("small.tflite")).ops) == 4
    begun = time.process_time()
    with pytest.raises(ModelError, match="damaged"):
        parse(sharing(4096, 4096), Path("shared.tflite"))
    assert time.process_time() - begun < 10


def test_another_network_is_refused() -> None:
    refused(
        packed(other_network()),
        "not MLPerf's MOSAIC R4: expected backbone.stem: a 3x3 convolution .* found none",
    )


def test_another_input_is_refused() -> None:
    model = other_network()
    model.subgraphs[0].tensors[0].shape = [1, 224, 224, 3]
    refused(packed(model), r"its input is \[1, 224, 224, 3\] UINT8")


def an_op(model: Any, kind: str, number: int = 0) -> Any:
    """Find the ``number``-th operator of a kind in order of execution."""
    wanted = vars(schema.BuiltinOperator)[kind]
    codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
    return [op for op in model.subgraphs[0].operators if codes[op.opcodeIndex] == wanted][number]


def split_backwards(model: Any) -> None:
    op = an_op(model, "SPLIT")
    op.outputs = op.outputs[::-1]


def concatenate_backwards(model: Any) -> None:
    op = an_op(model, "CONCATENATION", 3)
    op.inputs = op.inputs[::-1]


def half_pixels(model: Any) -> None:
    an_op(model, "RESIZE_BILINEAR", 2).builtinOptions.halfPixelCenters = True


def dilate_block_13(model: Any) -> None:
    options = an_op(model, "DEPTHWISE_CONV_2D", 12).builtinOptions
    options.dilationHFactor = options.dilationWFactor = 2


def drop_an_activation(model: Any) -> None:
    an_op(model, "CONV_2D", 1).builtinOptions.fusedActivationFunction = 0


def relu6(model: Any) -> None:
    an_op(model, "CONV_2D", 1).builtinOptions.fusedActivationFunction = 3


def repeat_an_op(model: Any) -> None:
    model.subgraphs[0].operators.append(an_op(model, "ADD", 3))


def add_a_dead_end(model: Any) -> None:
    model.subgraphs[0].operators.append(an_op(model, "ARG_MAX"))


def scale_per_channel(model: Any) -> None:
    weight = model.subgraphs[0].tensors[an_op(model, "CONV_2D", 4).inputs[1]]
    weight.quantization.scale = [0.1] * 32


def scale_by_nothing(model: Any) -> None:
    weight = model.subgraphs[0].tensors[an_op(model, "CONV_2D", 4).inputs[1]]
    weight.quantization.scale = [0.0]


def compute_weights(model: Any) -> None:
    model.subgraphs[0].tensors[an_op(model, "CONV_2D", 4).inputs[1]].buffer = 0


def forget_the_input_scale(model: Any) -> None:
    model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].quantization = None


def return_something_else(model: Any) -> None:
    model.subgraphs[0].outputs = [an_op(model, "CONV_2D", 4).outputs[0]]


def shrink_a_weight(model: Any) -> None:
    weight = model.subgraphs[0].tensors[an_op(model, "CONV_2D", 4).inputs[1]]
    model.buffers[weight.buffer].data = model.buffers[weight.buffer].data[:-7]


@needs_r4
@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(split_backwards, "encoder, 4 bins: a 3x3", id="split"),
        pytest.param(concatenate_backwards, "concatenation of 4 in the network's order", id="concat"),
        pytest.param(half_pixels, "an asymmetric resize to 32x32", id="sampling"),
        pytest.param(dilate_block_13, "backbone.blocks.12: .* dilation 1", id="dilation"),
        pytest.param(drop_an_activation, "backbone.blocks.0: ", id="activation"),
        pytest.param(relu6, "backbone.blocks.0: ", id="relu6"),
        pytest.param(repeat_an_op, "expected an addition, found 2", id="twice"),
        pytest.param(add_a_dead_end, "expected the arg max .* found 2", id="dead end"),
        pytest.param(scale_per_channel, "not quantised per tensor", id="per channel"),
        pytest.param(scale_by_nothing, "the scale 0.0", id="no scale"),
        pytest.param(compute_weights, "a weight is not a constant", id="no constant"),
        pytest.param(forget_the_input_scale, "its input is not quantised", id="input"),
        pytest.param(return_something_else, "its output is not the class map", id="output"),
        pytest.param(shrink_a_weight, "cut off or damaged", id="short weight"),
    ],
)
def test_a_network_that_is_nearly_r4_is_refused(
    change: Callable[[Any], None], message: str, model_bytes: bytes
) -> None:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model_bytes, 0))
    change(model)
    refused(packed(model), message)


@pytest.fixture(scope="module")
def model_bytes() -> bytes:
    return (Path(str(FOLDER)) / NAME).read_bytes()


@needs_r4
def test_a_file_that_is_cut_off_anywhere_is_refused(model_bytes: bytes) -> None:
    for length in np.geomspace(8, len(model_bytes) - 1, 40).astype(int):
        refused(model_bytes[:length], "some.tflite: ")


@needs_r4
def test_damaged_bytes_never_crash_the_reader(model_bytes: bytes) -> None:
    rng = np.random.default_rng(5)
    tables = np.concatenate([np.arange(8, 40_000), np.arange(len(model_bytes) - 60_000, len(model_bytes))])
    messages = []
    for _ in range(60):
        data = bytearray(model_bytes)
        for place in rng.choice(tables, 3):
            data[place] = rng.integers(256)
        messages.append(complaint(bytes(data)))
    assert {bool(message) for message in messages} == {True, False}
    assert not any("\n" in message for message in messages)


def complaint(data: bytes) -> str:
    """Return what is wrong with a file, or nothing; any other exception than ours comes through."""
    try:
        fill(NET, data, Path("some.tflite"))
    except ModelError as err:
        return str(err)
    return ""
