"""ONNX Runtime on a phone's CPU: a case becomes an ``.ort`` file for ARM, and that very file is run here.

Quantising and converting are the backend's own functions, with what they refuse: kernels of x86 alone. A
convolution or matrix product that a quantised file computes in float falls back, on the same processor. Other
operators stay in float there, silently and correctly, and count as run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.oracle import compare, qdq
from mosaic_deploy.backends.oracle.outcome import CaseOutcome, Found
from mosaic_deploy.errors import ModelError, MosaicError, RefusedError
from mosaic_deploy.specs.precision import Precision
from mosaic_deploy.specs.toolchain import load_toolchain, unavailable
from mosaic_deploy.workers.call import GIB

TOOLCHAIN = "ort"
PRECISIONS: tuple[Precision, ...] = ("float", "w8a8")
SECONDS = 30.0
MEMORY_BYTES = 4 * GIB

_TOOL = "onnxruntime"
_DEVICE = "cpu"
_FILE = "case.ort"
_NAMES = re.compile(r"^[\w.]+: (?=\w+ ')| '[^']*'(?= would)|, \d+ of \d+ nodes")
"""In what the backend says of nodes."""
_ROUGHLY = compare.Tolerance(0.1, steps=2.0)
"""How far a quantised answer may be from the float reference: what eight bits cost at worst."""


def devices(*, everywhere: bool) -> tuple[str, ...]:  # noqa: ARG001  # the protocol's
    """The CPU: files and kernels are the same for every processor."""
    return (_DEVICE,)


def missing() -> str:
    """Why the toolchain cannot be had here, or nothing."""
    return unavailable(TOOLCHAIN) or ""


def version() -> str:
    """ONNX Runtime's."""
    return load_toolchain(TOOLCHAIN).version(_TOOL)


def environment() -> Mapping[str, str]:
    """None."""
    return {}


def begin() -> None:
    """Import ONNX Runtime and its converter."""
    import onnxruntime as ort

    from mosaic_deploy.quantize.ort_tools import tool

    ort.set_default_logger_severity(4)
    tool("convert_onnx_models_to_ort")


def attempt(
    name: str,
    model: bytes,
    feeds: Mapping[str, NDArray[Any]],
    precision: Precision,
    devices: tuple[str, ...],
    scratch: Path,
) -> tuple[CaseOutcome, ...]:
    """Make the ``.ort`` file, run it, and compare with the same graph unoptimised."""
    try:
        weighed = (
            _float(model, feeds, scratch)
            if precision == "float"
            else _quantized(model, feeds, scratch, precision)
        )
        found: Found = "runs" if weighed.right else "wrong"
        error = weighed.error
        if weighed.right and precision != "float" and (left := _left_in_float(scratch / "work" / _FILE)):
            found, error = "falls-back", left
        outcome = CaseOutcome(name, _DEVICE, found, error, weighed.difference)
    except compare.NoReferenceError as err:
        outcome = CaseOutcome(name, _DEVICE, "no-reference", str(err))
    except MosaicError as err:
        outcome = CaseOutcome(name, _DEVICE, "fails-to-compile", compare.said(_NAMES.sub("", str(err))))
    return (outcome,) if _DEVICE in devices else ()


def _float(model: bytes, feeds: Mapping[str, NDArray[Any]], scratch: Path) -> compare.Comparison:
    expected = compare.reference(model, feeds)
    answer = _run(model, feeds, scratch)
    return compare.compare_outputs(expected, answer, tolerance=compare.IN_SINGLE, feeds=feeds)


def _quantized(
    model: bytes, feeds: Mapping[str, NDArray[Any]], scratch: Path, precision: Precision
) -> compare.Comparison:
    """Hold the integer kernels to the Q/DQ graph computed in float; and, roughly, to the float graph."""
    from mosaic_deploy.quantize.cpu_style import insert, named

    floats = compare.reference(model, feeds)
    made = qdq.quantize(
        model,
        feeds,
        prepare=named,
        insert=insert,
        recipe=qdq.recipe_of(precision),
        scratch=scratch / "qdq",
    )
    integers = {name: np.asarray(values) for name, values in made.feeds.items()}
    answer = made.floats(_run(made.model, integers, scratch))
    expected = made.floats(compare.reference(made.model, integers))
    exact, rough = (compare.for_chain(allowed, model) for allowed in (compare.EIGHT_BITS, _ROUGHLY))
    exactly = compare.compare_outputs(expected, answer, tolerance=exact, scales=made.scales)
    if not exactly.right:
        return exactly
    # A sum of everything has no range to compare with: it may be as small as what rounding costs.
    real = [i for i, values in enumerate(floats) if values.dtype.kind == "f" and values.size > 1]
    return compare.compare_outputs(
        [floats[i] for i in real],
        [answer[i] for i in real],
        tolerance=rough,
        scales=[made.scales[i] for i in real],
    )


def _left_in_float(file: Path) -> str:
    """What the backend says of the heavy nodes that a quantised file computes in float, or nothing."""
    from mosaic_deploy.backends.ort.fallback import require_integers
    from mosaic_deploy.backends.ort.ort_file import nodes

    try:
        require_integers(nodes(file), file=file.name)
    except RefusedError as err:
        return compare.said(_NAMES.sub("", str(err)))
    return ""


def _run(model: bytes, feeds: Mapping[str, NDArray[Any]], scratch: Path) -> tuple[NDArray[Any], ...]:
    """Convert as ``build`` does, and run the file; raises ``MosaicError`` where either is refused."""
    from mosaic_deploy.backends.ort.run import _failed, open_file

    file = _converted(model, scratch / "work")
    session = open_file(file, 1, spin=False)
    try:
        made = session.run(None, dict(feeds))
    except Exception as err:
        if not compare.from_tool(err):
            raise
        raise _failed("the file", "does not run", err) from err
    return tuple(np.asarray(values) for values in made)


def _converted(model: bytes, folder: Path) -> Path:
    """The ``.ort`` file, as the backend's ``to_ort`` makes it, without its outlook on accelerators."""
    from mosaic_deploy.backends.ort.ort_file import nodes, require_portable
    from mosaic_deploy.quantize.ort_tools import ort_converter

    folder.mkdir(parents=True)
    source = folder / "case.onnx"
    source.write_bytes(model)
    converter = ort_converter(source)
    try:
        style = converter.OptimizationStyle.Fixed
        converter.convert_onnx_models_to_ort(
            source, folder, [style], target_platform="arm", enable_type_reduction=True
        )
    except Exception as err:
        if not compare.from_tool(err):
            raise
        raise ModelError(f"cannot be converted: {compare.said(err)}") from err
    file = folder / _FILE
    require_portable(nodes(file), file=file.name)
    return file
