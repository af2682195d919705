"""A part of OpenVINO's files on its CPU plugin: what computes one tensor; runs in a child process.

    x -> FQ -> Conv -> y -> FQ -> ...     y, from x:     x (a parameter) -> FQ -> Conv -> y -> FQ -> result

The converter keeps the names of the ONNX's tensors. Where a FakeQuantize (FQ) reads one, its levels are the
tensor's grid, and it belongs to every part that ends or begins there: the plugin makes integers of it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_deploy.backends.file_parts import fed
from mosaic_deploy.backends.openvino.ir import bring_openvino, read
from mosaic_deploy.backends.openvino.run import compile_file
from mosaic_deploy.backends.openvino.same_tensors import outputs_of, quantizer_of
from mosaic_deploy.errors import ModelError
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import openvino

_HINT = "f32"


def run_part(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Do as ``backends.file_parts.FileParts.run_part`` says.

    Raises ``ModelError`` or ``ToolError`` as ``run.predict`` does.
    """
    ov = bring_openvino()
    place = Path(request["cut"])
    model = cut(read(Path(request["file"])), request["wanted"], request["given"])
    ov.save_model(model, place, compress_to_fp16=False)
    core, compiled = compile_file(place, "CPU", {}, _HINT)
    runner = compiled.create_infer_request()
    names = [port.get_any_name() for port in compiled.inputs]
    for index, image in enumerate(request["images"]):
        given = request["feeds"][index] if request["feeds"] else {}
        values = [np.load(given.get(name, image), allow_pickle=False) for name in names]
        for number, value in enumerate(values):
            np.save(fed(place, index, number), value, allow_pickle=False)
        runner.infer(values)
        np.save(request["outputs"][index], runner.get_output_tensor().data, allow_pickle=False)
    name = core.get_property("CPU", "FULL_DEVICE_NAME")
    return {"ran_on": f"OpenVINO {ov.__version__.partition('-')[0]}, {name}"}


def cut(model: openvino.Model, wanted: str, given: Collection[str]) -> openvino.Model:
    """What computes a tensor from ``given``, and from the image where these do not do.

    Changes ``model``. Raises ``ModelError`` where it has no such tensors.
    """
    ov = bring_openvino()
    outputs = outputs_of(model)
    lost = [name for name in (wanted, *given) if name not in outputs]
    if lost:
        raise ModelError(f"the file has no tensor '{lost[0]}'")
    target = outputs[wanted]
    for name in given:
        value = outputs[name]
        fed = ov.opset13.parameter(value.get_shape(), value.get_element_type())
        value.get_tensor().set_names(set())
        fed.output(0).get_tensor().set_names({name})
        fed.set_friendly_name(name)
        for reader in value.get_target_inputs():
            reader.replace_source_output(fed.output(0))
    quantizer = quantizer_of(target)
    result = ov.opset13.result(target if quantizer is None else quantizer.output(0))
    return ov.Model([result], _parameters(result), "part")


def _parameters(result: openvino.Node) -> list[openvino.Node]:
    """The inputs that a result depends on."""
    found: dict[str, Any] = {}
    seen, waiting = set[str](), [result]
    while waiting:
        node = waiting.pop()
        if node.get_name() in seen:
            continue
        seen.add(node.get_name())
        if node.get_type_name() == "Parameter":
            found[node.get_friendly_name()] = node
        waiting += [value.get_node() for value in node.input_values()]
    return [found[name] for name in sorted(found)]
