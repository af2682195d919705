"""What a graph does to raw pixels before the network proper; for child processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.graph.index import consumers_of, replace_name

if TYPE_CHECKING:
    import onnx


def drop_normalisation(model: onnx.ModelProto) -> tuple[float, float] | None:
    """Turn float pixels -> Sub mean -> Mul 1/scale -> x  into  normalised floats -> x; mean and scale.

    With them an integer input can hold the pixels and mean the normalised values, and nothing is computed.
    Changes nothing and gives None unless both constants are one number each and the graph begins so. A
    ``Div`` by the scale does as well.
    """
    image = model.graph.input[0].name
    first = _only_user(model, image, ("Sub",))
    second = _only_user(model, first.output[0], ("Mul", "Div")) if first is not None else None
    if first is None or second is None:
        return None
    mean, factor = _number(model, first.input[1]), _number(model, second.input[1])
    if mean is None or not factor:
        return None
    for node in model.graph.node:
        replace_name(node.input, second.output[0], image)
    model.graph.node.remove(first)
    model.graph.node.remove(second)
    return mean, 1 / factor if second.op_type == "Mul" else factor


def _only_user(model: onnx.ModelProto, name: str, kinds: tuple[str, ...]) -> onnx.NodeProto | None:
    users = consumers_of(model.graph, name)
    given = {value.name for value in model.graph.output}
    if len(users) != 1 or users[0].op_type not in kinds or name in given:
        return None
    return users[0] if users[0].input[0] == name and users[0].output[0] not in given else None


def _number(model: onnx.ModelProto, name: str) -> float | None:
    """The constant of that name, if all its elements are one finite number."""
    import onnx

    arrays = [onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.name == name]
    for node in model.graph.node:
        if node.op_type == "Constant" and name in node.output:
            value = onnx.helper.get_attribute_value(node.attribute[0])
            is_tensor = isinstance(value, onnx.TensorProto)
            arrays.append(onnx.numpy_helper.to_array(value) if is_tensor else np.asarray(value))
    if len(arrays) != 1 or arrays[0].dtype.kind != "f" or len(np.unique(arrays[0])) != 1:
        return None
    number = float(arrays[0].reshape(-1)[0])
    return number if np.isfinite(number) else None
