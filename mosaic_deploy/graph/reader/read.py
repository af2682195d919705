"""ONNX files, read as if their author were an enemy.

    file --walked--> bounded --protobuf--> names, order, tensors checked here
         --child process--> onnx.checker, shapes inferred --> ModelProto

Files come from strangers. So whatever can be told in Python is told before native code sees the graph: what
it gets to see is bounded in size, has unique names in a sound order, and holds its small constants only. It
sees that in a process of its own, as onnx's C++ crashes on some graphs. No file outside the model's own
folder is ever opened. Each refusal is one line of at most 500 characters that says what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.graph.reader.floats import FLOATS

if TYPE_CHECKING:
    import onnx

OPSETS = (7, 25)
"""First and last version of ONNX's own operators that are taken."""

FILE_BYTES = 384 << 20
"""Largest file, and largest file with its external data: read and unpacked it stays below 1 GiB."""

TENSOR_BYTES = 2**31
"""Largest tensor in the graph; 32-bit offsets end here on every phone."""

_SIDE = 2**16
_FIRST_IR = 3
_VERSIONS = 2**15  # of other domains; onnx looks operators up by 32-bit numbers
_LINE = 500
_STARTS = {
    b"version https://git-lfs": "it is a Git LFS pointer: run 'git lfs pull'",
    b"PK": "it is a zip archive, perhaps a PyTorch checkpoint: export it to ONNX first",
    b"<": "it is a web page or XML, perhaps a failed download",
}
_TFLITE = b"TFL3"
"""Bytes 4 to 8 of a TFLite file."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a person says of a file that leaves it open."""

    input_shape: tuple[int, ...] | None = None
    """The image's sides, where the file has dynamic ones; a dynamic batch is one image in any case."""
    output: str | None = None
    """The output that is wanted, of several."""

    @classmethod
    def parse(cls, input_shape: str | None, output: str | None) -> Reading:
        """Read them as typed, the shape with commas; raises ``UsageError``."""
        if input_shape is None:
            return cls(None, output)
        try:
            sides = tuple(int(side) for side in input_shape.lower().replace("x", ",").split(","))
        except ValueError:
            sides = ()
        if len(sides) != 4 or min(sides) < 1:
            raise UsageError(
                f"--input-shape {input_shape}: four whole numbers with commas, such as 1,3,512,512"
            )
        return cls(sides, output)


AS_IT_IS = Reading()
"""Takes a file that leaves nothing open."""


def read_model(path: Path, reading: Reading = AS_IT_IS) -> onnx.ModelProto:
    """Read an ONNX file whole, with its external data inside and every inferred shape in ``value_info``.

    The model has one (N, C, H, W) or (N, H, W, C) input of float32 or uint8 with fixed dimensions, at least
    one output, an ``ai.onnx`` opset of 13 or later and no local functions; a file with an opset within
    ``OPSETS`` or with other floating types is brought there. Operators of other domains are left for the op
    check to judge. What ``reading`` says is true of the model that is returned.

    Raises:
        ModelError: the file cannot be read, is no sound ONNX model, or is none of the above.
    """
    from mosaic_deploy.graph.reader import names, onnx_package, settle, tensors, wishes

    onnx_package.require()
    try:
        model = _parse(path)
        names.require_sound(model)
        _require_known(model)
        wishes.fulfil(model, reading.input_shape, reading.output)
        _require_image(model.graph)
        tensors.load(model, path.parent, budget=FILE_BYTES - path.stat().st_size)
        settle.settle(model)
        tensors.require_bounded(model.graph, TENSOR_BYTES)
    except ModelError as err:
        raise ModelError(_line(path, str(err))) from err
    return model


def read_names(path: Path) -> onnx.ModelProto:
    """Read an ONNX file as far as ``names.require_sound`` does, neither data nor shapes; raises as that."""
    from mosaic_deploy.graph.reader import names, onnx_package

    onnx_package.require()
    try:
        model = _parse(path)
        names.require_sound(model)
    except ModelError as err:
        raise ModelError(_line(path, str(err))) from err
    return model


def _line(path: Path, reason: str) -> str:
    """Put an error into one printable line; names in a file may be long and hold anything."""
    place = str(path) if len(str(path)) <= _LINE // 2 else f"...{str(path)[-_LINE // 2 :]}"
    line = "".join(c if c.isprintable() else "?" for c in f"{place}: {reason}")
    return line if len(line) <= _LINE else f"{line[: _LINE - 3]}..."


def _parse(path: Path) -> onnx.ModelProto:
    import onnx

    from mosaic_deploy.graph.reader import wire

    try:
        if not path.is_file():
            raise ModelError("no such file" if not path.exists() else "is not a file")
        size = path.stat().st_size
        if size > FILE_BYTES:
            raise ModelError(f"{size / 2**20:.0f} MiB; networks up to {FILE_BYTES >> 20} MiB are supported")
        data = path.read_bytes()
    except OSError as err:
        raise ModelError(f"cannot be read ({err.strerror})") from err
    for start, reason in _STARTS.items():
        if data.startswith(start):
            raise ModelError(f"not an ONNX file: {reason}")
    if data[4:8] == _TFLITE:
        raise ModelError("not an ONNX file: it is a TFLite file: import-tflite reads one in float")
    wire.require_small(data)
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(data)
    except Exception as err:  # protobuf's implementations share no error class
        raise ModelError(wire.why_unparsed(data)) from err
    if not model.HasField("graph") or not model.ir_version:
        raise ModelError(wire.why_unparsed(data))
    return model


def _require_known(model: onnx.ModelProto) -> None:
    """Refuse versions and parts of ONNX that nothing behind this gate handles."""
    if model.ir_version < _FIRST_IR:
        raise ModelError(f"IR version {model.ir_version}: export it again with a current exporter")
    if model.functions:
        raise ModelError(
            f"holds local functions ('{model.functions[0].name}'): inline them with "
            "onnx.inliner.inline_local_functions and save it again"
        )
    if model.training_info:
        raise ModelError("holds graphs for training: export it for inference")
    first, last = OPSETS
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if len(versions) != 1 or not first <= versions[0] <= last:
        said = ", ".join(str(v) for v in versions) or "none"
        raise ModelError(
            f"opset {said}: {first} to {last} are supported; export it with opset_version=18 "
            "or convert it with onnx.version_converter"
        )
    for other in model.opset_import:
        if not 0 <= other.version <= _VERSIONS:
            raise ModelError(f"version {other.version} of domain '{other.domain}': there is no such version")


def _images(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    constants = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in constants]


def _require_image(graph: onnx.GraphProto) -> None:
    """Refuse anything but one four-dimensional input of fixed size."""
    if not graph.node:
        raise ModelError("the graph has no nodes")
    if not graph.output:
        raise ModelError("the graph has no outputs")
    images = _images(graph)
    if len(images) != 1:
        names = ", ".join(f"'{value.name}'" for value in images[:5])
        raise ModelError(f"has {len(images)} inputs {names}: exactly one is supported, the image")
    image = images[0]
    tensor = image.type.tensor_type
    if tensor.elem_type not in (*FLOATS, 2):
        raise ModelError(f"input '{image.name}' is neither float32 nor uint8: export it as one of them")
    if not tensor.HasField("shape") or len(tensor.shape.dim) != 4:
        shown = f"{len(tensor.shape.dim)} dimensions" if tensor.HasField("shape") else "no shape"
        raise ModelError(f"input '{image.name}' has {shown}: an image has 4, (1, 3, H, W) or (1, H, W, 3)")
    _require_fixed(image)


def _require_fixed(image: onnx.ValueInfoProto) -> None:
    dims = image.type.tensor_type.shape.dim
    free = [dim.dim_param or f"number {i}" for i, dim in enumerate(dims) if dim.dim_value <= 0]
    if free:
        shape = ",".join(
            str(d.dim_value) if d.dim_value > 0 else f"<{d.dim_param or i}>" for i, d in enumerate(dims)
        )
        raise ModelError(
            f"input '{image.name}' ({shape}) has dynamic dimensions ({', '.join(free)}): say which size is "
            "deployed with --input-shape, such as --input-shape "
            f"{','.join(str(d.dim_value or n) for d, n in zip(dims, (1, *_example(dims)), strict=True))}"
        )
    if any(dim.dim_value > _SIDE for dim in dims):
        raise ModelError(f"input '{image.name}' {list(_dims(image))}: sides up to {_SIDE} are supported")


def _example(dims: Sequence[onnx.TensorShapeProto.Dimension]) -> tuple[int, int, int]:
    """Sides behind the batch as somebody could want them."""
    return (512, 512, 3) if dims[3].dim_value == 3 else (3, 512, 512)


def _dims(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
