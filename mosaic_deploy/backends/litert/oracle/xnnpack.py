"""Probing LiteRT with XNNPACK, for the table ``litert-xnnpack``: what ``build --target cpu`` makes of a case.

    float  onnx2tf, tidied           on XNNPACK, against ONNX Runtime
    w8a8   quantised besides (int8)  on XNNPACK, against LiteRT's reference kernels and, loosely, ONNX Runtime

XNNPACK leaves what it does not take to the interpreter's own kernels: then the case falls back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import flatbuffer, quantize, rewrites
from mosaic_deploy.backends.litert.masks import bound_masks, fold_masks
from mosaic_deploy.backends.litert.oracle import convert
from mosaic_deploy.backends.litert.repairs import connect_fully, name_apart, raise_constants
from mosaic_deploy.backends.litert.xnnpack import feed, outside
from mosaic_deploy.backends.oracle.compare import (
    EIGHT_BITS,
    IN_SINGLE,
    Arrays,
    NoReferenceError,
    Tolerance,
    for_chain,
    reference,
    said,
)
from mosaic_deploy.backends.oracle.outcome import CaseOutcome, Found
from mosaic_deploy.errors import MosaicError
from mosaic_deploy.specs.precision import Precision
from mosaic_deploy.workers.call import GIB

TOOLCHAIN = "litert"
PRECISIONS: tuple[Precision, ...] = ("float", "w8a8")
SECONDS = 30.0
MEMORY_BYTES = 4 * GIB
_DEVICE = "litert"
_ROUGHLY = Tolerance(0.1, steps=2.0)
"""Of an int8 network against the float one: what only another network exceeds."""
_RECIPE = {"weights": {"bits": 8, "per_channel": True}, "activations": {"bits": 8}}


def devices(*, everywhere: bool) -> tuple[str, ...]:  # noqa: ARG001  # the protocol's
    """One: XNNPACK is the same library everywhere."""
    return (_DEVICE,)


def missing() -> str:
    """What has to be installed, as a line to run, or empty."""
    return convert.missing()


def version() -> str:
    """LiteRT's, with onnx2tf's."""
    return convert.version()


def environment() -> Mapping[str, str]:
    """Quiet, and on one thread."""
    return {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2", "TQDM_DISABLE": "1"}


def begin() -> None:
    """Import onnx2tf, LiteRT and the quantiser."""
    import ai_edge_quantizer.quantizer  # noqa: F401  # here, so that no case waits for it

    convert.begin()


def attempt(
    name: str,
    model: bytes,
    feeds: Mapping[str, NDArray[Any]],
    precision: Precision,
    devices: tuple[str, ...],
    scratch: Path,
) -> tuple[CaseOutcome, ...]:
    """Convert, quantise if asked to, run on XNNPACK, and compare."""
    found = _tried(model, feeds, precision, scratch)
    return tuple(CaseOutcome(name, device, *found) for device in devices)


_Answer = tuple[Found, str, float | None]


def _tried(model: bytes, feeds: Mapping[str, NDArray[Any]], precision: Precision, scratch: Path) -> _Answer:
    try:
        expected = reference(model, feeds)
    except NoReferenceError as err:
        return "no-reference", str(err), None
    try:
        path = convert.convert(model, scratch)
        values = convert.fed(path, feeds)
        if precision == "float":
            return _as_float(path, values, expected, feeds, for_chain(IN_SINGLE, model))
        return _as_integers(path, values, expected, feeds, for_chain(_ROUGHLY, model))
    except (convert.NotMadeError, MosaicError) as err:
        return "fails-to-compile", said(err), None
    except (RuntimeError, ValueError) as err:  # LiteRT's own
        return "fails-to-compile", f"LiteRT: {said(err)}", None


def _as_float(
    path: Path, values: Arrays, expected: Arrays, feeds: Mapping[str, NDArray[Any]], allowed: Tolerance
) -> _Answer:
    network = _Network(path)
    found = convert.compared(expected, network.run(values, expected), tolerance=allowed, feeds=feeds)
    if not found.right:
        plain = plainly(path, values, expected)
        same = convert.compared(expected, plain, tolerance=allowed, feeds=feeds)
        return "wrong", f"{'XNNPACK' if same.right else 'onnx2tf'}: {found.error}", found.difference
    return *network.verdict(), found.difference


def _as_integers(
    path: Path, values: Arrays, expected: Arrays, feeds: Mapping[str, NDArray[Any]], allowed: Tolerance
) -> _Answer:
    model = flatbuffer.load(path)
    rewrites.pools_as_convolutions(model)
    connect_fully(model)
    raise_constants(model)
    fold_masks(model)
    name_apart(model)
    flatbuffer.save(model, path)
    _with_signatures(model, path)
    ranges, floats = _measured(path, values, expected)
    ranges = bound_masks(model, ranges)
    _with_signatures(model, path)
    found = convert.compared(expected, floats, tolerance=IN_SINGLE, feeds=feeds)
    if not found.right:
        return "wrong", f"onnx2tf: {found.error}", found.difference
    if not np.isfinite([*ranges.values()]).all():
        raise convert.NotMadeError("a tensor holds NaN or infinity")
    if not model.subgraphs[0].operators:
        return "runs", "", found.difference
    try:
        with convert.working_in(path.parent):
            made, _ = quantize.mixed(path, ranges, _RECIPE)
    except (RuntimeError, ValueError) as err:
        raise convert.NotMadeError(f"ai-edge-quantizer: {said(err)}") from err
    quantized = path.with_name("int8.tflite")
    flatbuffer.save(made, quantized)
    network = _Network(quantized)
    given = network.run(values, expected)
    scales = network.scales
    found = convert.compared(expected, given, tolerance=allowed, feeds=feeds, scales=scales)
    plain = plainly(quantized, values, expected)
    kernels = convert.compared(plain, given, tolerance=EIGHT_BITS, feeds=feeds, scales=scales)
    if not found.right:
        whose = "ai-edge-quantizer" if kernels.right else "XNNPACK"
        return "wrong", f"{whose}: {found.error}", found.difference
    trusted = convert.compared(expected, plain, tolerance=allowed, feeds=feeds, scales=scales)
    if not kernels.right and trusted.difference < found.difference - EIGHT_BITS.share:
        return "wrong", f"XNNPACK: {kernels.error}", found.difference
    return *network.verdict(), found.difference


def _with_signatures(model: Any, path: Path) -> None:
    """Write it once more with an empty list of signatures, over which the quantiser goes at times.

    It has no more to say of a case than of a network whose end is another operator.
    """
    import flatbuffers  # type: ignore[import-untyped]  # it has no types

    model.signatureDefs = []
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def _measured(
    path: Path, values: Arrays, expected: Arrays
) -> tuple[dict[str, tuple[np.float32, np.float32]], Arrays]:
    """Ranges of all float tensors that are computed, by name, and the outputs."""
    model = flatbuffer.load(path)
    graph = model.subgraphs[0]
    ends = len(graph.outputs)
    made = [int(i) for op in graph.operators for i in op.outputs]
    shown = [
        i for i in made if flatbuffer.dtype(graph.tensors[i]) == "FLOAT32" and i not in list(graph.outputs)
    ]
    graph.outputs = [*graph.outputs, *shown]
    copy = path.with_name("shown.tflite")
    flatbuffer.save(model, copy)
    network = _Network(copy)
    found = network.run(values, expected)
    seen = [*zip(network.inputs, values, strict=True), *zip(network.outputs, found, strict=True)]
    ranges = {str(t["name"]): (v.min(), v.max()) for t, v in seen if v.dtype == np.float32}
    return ranges, found[:ends]


def plainly(path: Path, values: Arrays, expected: Arrays) -> Arrays:
    """What LiteRT's own kernels make of a file: those for reference, or where they lack one, the usual."""
    try:
        return _Network(path, kernels="BUILTIN_REF").run(values, expected)
    except (RuntimeError, ValueError):
        return _Network(path, kernels="BUILTIN_WITHOUT_DEFAULT_DELEGATES").run(values, expected)


class _Network:
    """A file that LiteRT's interpreter has loaded, with XNNPACK unless other kernels are named."""

    def __init__(self, path: Path, *, kernels: str = "AUTO") -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._model = flatbuffer.load(path)
        self._interpreter = Interpreter(
            str(path), num_threads=1, experimental_op_resolver_type=OpResolverType[kernels]
        )
        self._interpreter.allocate_tensors()
        graph = self._model.subgraphs[0]
        self.inputs = [flatbuffer.describe(self._model, index) for index in graph.inputs]
        self.outputs = [flatbuffer.describe(self._model, index) for index in graph.outputs]

    @property
    def scales(self) -> tuple[float | None, ...]:
        """Of the outputs' grids."""
        return tuple(tensor["scale"] for tensor in self.outputs)

    def run(self, values: Arrays, expected: Arrays) -> Arrays:
        """Run it; where floats are expected, integers of a grid come out as floats."""
        indices = [int(i) for i in self._model.subgraphs[0].inputs]
        for index, tensor, array in zip(indices, self.inputs, values, strict=True):
            given = feed(array, tensor) if array.dtype.kind == "f" else array.astype(tensor["dtype"])
            self._interpreter.set_tensor(index, given)
        self._interpreter.invoke()
        found = []
        for number, (index, tensor) in enumerate(
            zip(self._model.subgraphs[0].outputs, self.outputs, strict=True)
        ):
            given = self._interpreter.get_tensor(int(index))
            real = number < len(expected) and expected[number].dtype.kind == "f"
            if real and tensor["scale"] is not None and given.dtype.kind in "iu":
                given = (given.astype(np.float32) - tensor["zero_point"]) * np.float32(tensor["scale"])
            found.append(given)
        return tuple(found)

    def verdict(self) -> tuple[Found, str]:
        """Whether XNNPACK takes all of it, and what it leaves."""
        left = {line.partition(" ")[0] for line in outside(self._model, self._interpreter)}
        return ("falls-back", f"XNNPACK leaves {', '.join(sorted(left))}") if left else ("runs", "")
