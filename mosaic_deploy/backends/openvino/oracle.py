"""OpenVINO's CPU plugin: a case becomes an ``.xml`` and ``.bin``, quantised by NNCF, compiled and run here.

Reading, writing, quantising and compiling are what the backend does, and so is the judgement of precisions:
a float case that computes in less than float32, or a convolution or matrix product of a quantised one that
does not compute in integers, is refused.

A quantised answer is held to the same file computed in floats, with its rounding to 256 levels; and, roughly,
to ONNX Runtime's float answer.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.oracle import compare, qdq
from mosaic_deploy.backends.oracle.outcome import CaseOutcome, Found
from mosaic_deploy.errors import ModelError, MosaicError
from mosaic_deploy.specs.precision import Precision
from mosaic_deploy.specs.toolchain import load_toolchain, unavailable
from mosaic_deploy.workers.call import GIB

if TYPE_CHECKING:
    import openvino

    from mosaic_deploy.backends.openvino.precision import Arithmetic

TOOLCHAIN = "openvino"
PRECISIONS: tuple[Precision, ...] = ("float", "w8a8")
SECONDS = 60.0
MEMORY_BYTES = 4 * GIB

_PACKAGES = ("openvino", "nncf")
_DEVICE = "cpu"
_NODES = re.compile(r" '[^']*' in (\w+).*, not in ")
"""What the backend says of nodes: in their names are numbers that differ from run to run."""
_ROUGHLY = compare.Tolerance(0.1)
"""How far a quantised answer may be from the float reference: what eight bits cost at worst."""
_HINT = "f32"
"""As the backend: the plugin's own choice may be bfloat16."""
_IN_FLOATS = {"LP_TRANSFORMS_MODE": "NO"}
"""Lets the plugin compute FakeQuantize as it stands, and make no integer kernels of it."""

Answer = tuple[NDArray[Any], ...]


def devices(*, everywhere: bool) -> tuple[str, ...]:  # noqa: ARG001  # the protocol's
    """The CPU plugin."""
    return (_DEVICE,)


def missing() -> str:
    """Why the toolchain cannot be had here, or nothing."""
    return unavailable(TOOLCHAIN) or ""


def version() -> str:
    """OpenVINO's, and NNCF's, which makes the integers."""
    return " with NNCF ".join(load_toolchain(TOOLCHAIN).version(name) for name in _PACKAGES)


def environment() -> Mapping[str, str]:
    """None."""
    return {}


def begin() -> None:
    """Import OpenVINO and NNCF."""
    from mosaic_deploy.backends.openvino.ir import bring_openvino

    bring_openvino()
    import nncf

    nncf.set_log_level(logging.ERROR)


def attempt(
    name: str,
    model: bytes,
    feeds: Mapping[str, NDArray[Any]],
    precision: Precision,
    devices: tuple[str, ...],
    scratch: Path,
) -> tuple[CaseOutcome, ...]:
    """Convert, quantise, compile, run and compare."""
    try:
        expected = compare.reference(model, feeds)
        xml = _converted(model, scratch)
        if precision == "float":
            answer = _run(xml, feeds, arithmetic="float32")
            weighed = compare.compare_outputs(expected, answer, tolerance=compare.IN_SINGLE, feeds=feeds)
        else:
            weighed = _quantized(xml, feeds, expected, model)
        found: Found = "runs" if weighed.right else "wrong"
        outcome = CaseOutcome(name, _DEVICE, found, weighed.error, weighed.difference)
    except compare.NoReferenceError as err:
        outcome = CaseOutcome(name, _DEVICE, "no-reference", str(err))
    except MosaicError as err:
        said = compare.said(_NODES.sub(r" in \1, not in ", str(err)))
        left = said.endswith(", not in int8")  # beside other integers it may be taken
        outcome = CaseOutcome(name, _DEVICE, "falls-back" if left else "fails-to-compile", said)
    return (outcome,) if _DEVICE in devices else ()


def _converted(model: bytes, scratch: Path) -> Path:
    """The case as OpenVINO's files, as the backend's ``convert`` writes them."""
    from mosaic_deploy.backends.openvino.ir import from_onnx, reason, write

    source, xml = scratch / "case.onnx", scratch / "float.xml"
    source.write_bytes(model)
    try:
        converted = from_onnx(source)
    except Exception as err:
        if not (type(err).__module__.startswith("openvino") or isinstance(err, RuntimeError)):
            raise
        raise ModelError(f"cannot be read: {reason(err)}") from err
    write(converted, xml, description={}, half=False)
    return xml


def _quantized(
    xml: Path, feeds: Mapping[str, NDArray[Any]], floats: Answer, model: bytes
) -> compare.Comparison:
    from mosaic_deploy.backends.openvino.ir import read, write

    made, place = _by_nncf(read(xml), feeds), xml.with_name("integers.xml")
    write(made, place, description={}, half=False)
    answer = _run(place, feeds, arithmetic="int8")
    expected = _run(place, feeds, arithmetic=None)
    exactly = compare.compare_outputs(
        expected, answer, tolerance=compare.for_chain(compare.EIGHT_BITS, model)
    )
    if not exactly.right:
        return exactly
    # A sum of everything has no range to compare with: it may be as small as what rounding costs.
    real = [i for i, values in enumerate(floats) if values.dtype.kind == "f" and values.size > 1]
    return compare.compare_outputs(
        [floats[i] for i in real], [answer[i] for i in real], tolerance=compare.for_chain(_ROUGHLY, model)
    )


def _by_nncf(model: openvino.Model, feeds: Mapping[str, NDArray[Any]]) -> openvino.Model:
    """Quantise with the feeds for calibration images; raises ``ModelError`` where NNCF cannot."""
    import nncf

    from mosaic_deploy.backends.openvino.quantize import _parameters
    from mosaic_deploy.backends.openvino.short_attention import products

    images = [_fed(model.inputs, feeds)]
    recipe = qdq.recipe_of("w8a8")
    recipe["calibration"]["method"] = "minmax"  # one image has no outliers
    try:
        quantized: openvino.Model = nncf.quantize(
            model,
            nncf.Dataset(images),
            subset_size=1,
            fast_bias_correction=True,
            ignored_scope=nncf.IgnoredScope(names=products(model), validate=False),
            advanced_parameters=_parameters(recipe),
        )
    except Exception as err:
        if type(err).__module__.startswith("mosaic_deploy"):
            raise
        raise ModelError(f"NNCF does not take it: {type(err).__name__}: {err}") from err
    return quantized


def _run(xml: Path, feeds: Mapping[str, NDArray[Any]], *, arithmetic: Arithmetic | None) -> Answer:
    """Compile and run as the backend does; ``arithmetic`` None computes the file's rounding in floats.

    Raises ``MosaicError`` where the plugin refuses, fails, or computes in another precision.
    """
    from mosaic_deploy.backends.openvino.ir import reason
    from mosaic_deploy.backends.openvino.precision import nodes_of, require_everywhere
    from mosaic_deploy.backends.openvino.run import compile_file

    settings = {"INFERENCE_NUM_THREADS": 1, **(_IN_FLOATS if arithmetic is None else {})}
    _core, compiled = compile_file(xml, "CPU", settings, _HINT)
    nodes = nodes_of(compiled) if arithmetic else ()
    if nodes and arithmetic:  # a graph that only hands its input on has none
        require_everywhere(nodes, arithmetic=arithmetic)
    try:
        runner = compiled.create_infer_request()  # which owns the outputs
        made = runner.infer(_fed(compiled.inputs, feeds))
    except RuntimeError as err:
        raise ModelError(f"compiles, and then fails: {reason(err)}") from err
    return tuple(np.array(made[port]) for port in compiled.outputs)


def _fed(ports: Sequence[Any], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Feeds in the order of the inputs; one that is handed on unchanged has its output's name alone."""
    known = [{port.get_node().get_friendly_name(), *port.get_names()} & feeds.keys() for port in ports]
    return [feeds[min(names)] if names else next(iter(feeds.values())) for names in known]
