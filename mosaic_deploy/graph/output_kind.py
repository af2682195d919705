"""What a segmentation network hands to the app, changed at the end of its graph and nowhere else.

    ... -> low scores -> Resize -> logits -> ArgMax -> Cast -> class map
           "lowres"                "logits"                    "classmap"
               +-> ArgMax -> Cast -> class map of the scores' size, "lowmap"
               +-> valid interpolation (``ends/valid.py``) -> class map, "vim"

Where a pixel has one score, Greater stands for ArgMax.

A later kind is had by adding what is missing, an earlier one by leaving off what is there. A Resize is left
off only where the contract can say how it sampled, so that whoever draws the scores does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.ends.ids import add_above, add_best
from mosaic_deploy.graph.ends.valid import add_valid
from mosaic_deploy.graph.index import free_name, producer_of, prune
from mosaic_deploy.graph.sampling import sampling_of
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.fields import OutputKind
from mosaic_deploy.specs.resample import Sampling

if TYPE_CHECKING:
    import onnx

_IDS: tuple[OutputKind, ...] = ("classmap", "lowmap", "vim")
_LOW: tuple[OutputKind, ...] = ("lowres", "lowmap", "vim")
"""Kinds that are made of the scores at their own size."""
_INT32, _FLOAT = 6, 1
_RESIZE_OPSET = 11


def with_output(model: onnx.ModelProto, contract: Contract, *, want: OutputKind) -> onnx.ModelProto:
    """Return a copy of a one-output graph that gives ``want`` instead of ``contract.output``.

    Scores keep their axes' order. A class map is (1, H, W) int32; of equal scores the first class wins.
    What is resized to the contract's size is sampled as the contract says, and the scores of a smaller class
    map to the nearest.
    ``contract_with`` gives the contract of the copy.

    Raises:
        ModelError: the graph does not end in the operator that would have to be left off, that is a Resize
            whose sampling no contract can state (nearest, cubic), or it is too old to be resized in; or
            valid interpolation is wanted of one score per pixel.
    """
    import onnx

    if want == contract.output:
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    have, sampling = contract.output, contract.sampling
    if have in _IDS:
        axis = _without_decision(changed.graph)
        small = _plane(changed.graph, axis) != (contract.height, contract.width)
        have = "lowres" if small else "logits"
        sampling = "nearest" if small else sampling
    else:
        axis = _class_axis(changed.graph, contract)
    if have == "logits" and want in _LOW:
        last = _last_resize(changed, want)
        sampling = sampling_of(changed, last, axis)
        _end_at(changed.graph, last.input[0])
    if have == "lowres" and want not in _LOW:
        _add_resize(changed, contract, axis, sampling)
    if want == "vim":
        _add_valid(changed, contract, axis, sampling)
    elif want == "lowmap":
        height, width = _plane(changed.graph, axis)
        _add_decision(changed, contract, axis, (height, width))
    elif want == "classmap":
        _add_decision(changed, contract, axis, (contract.height, contract.width))
    prune(changed.graph)
    return changed


def contract_with(model: onnx.ModelProto, contract: Contract, *, want: OutputKind) -> Contract:
    """Return what ``contract`` is once ``with_output`` has changed its ``model``; raises as that does."""
    if want != "lowres" or contract.output == "lowres":
        return contract.model_copy(update={"output": want})
    import onnx

    scores = onnx.ModelProto()
    scores.CopyFrom(model)
    if contract.output in _IDS:
        axis = _without_decision(scores.graph)
        if _plane(scores.graph, axis) != (contract.height, contract.width):
            return contract.model_copy(update={"output": want, "sampling": "nearest"})
    else:
        axis = _class_axis(scores.graph, contract)
    sampling = sampling_of(scores, _last_resize(scores, want), axis)
    return contract.model_copy(update={"output": want, "sampling": sampling})


def _class_axis(graph: onnx.GraphProto, contract: Contract) -> int:
    """1 or 3: where the scores of a pixel lie side by side."""
    shape = _shape(graph.output[0])
    likely = (1, 3) if contract.layout == "NCHW" else (3, 1)
    for axis in likely:
        if len(shape) == 4 and shape[axis] == contract.channels:
            return axis
    raise ModelError(
        f"the output '{graph.output[0].name}' {list(shape)} holds no scores of "
        f"{len(contract.classes)} classes"
    )


def _plane(graph: onnx.GraphProto, axis: int) -> tuple[int, ...]:
    """Height and width of the scores that a graph gives."""
    shape = _shape(graph.output[0])
    return tuple(side for place, side in enumerate(shape) if place not in (0, axis))


def _without_decision(graph: onnx.GraphProto) -> int:
    """Leave off ArgMax or Greater, and what casts or squeezes after it; return the axis of the classes."""
    node = producer_of(graph, graph.output[0].name)
    while node is not None and node.op_type in ("Cast", "Squeeze", "Identity", "Reshape"):
        node = producer_of(graph, node.input[0])
    if node is None or node.op_type not in ("ArgMax", "Greater"):
        raise ModelError(_cannot("scores", "an ArgMax", graph))
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    _end_at(graph, node.input[0])
    shape = _shape(graph.output[0])
    if node.op_type == "Greater":
        return next((place for place in (1, 3) if shape[place : place + 1] == (1,)), 1)
    return axis % (len(shape) or 4)


def _last_resize(model: onnx.ModelProto, want: OutputKind) -> onnx.NodeProto:
    graph = model.graph
    node = producer_of(graph, graph.output[0].name)
    while node is not None and node.op_type in ("Identity", "Transpose"):
        if node.op_type == "Transpose":
            raise ModelError(_cannot(want, "a Resize but in a Transpose", graph))
        node = producer_of(graph, node.input[0])
    if node is None or node.op_type not in ("Resize", "Upsample"):
        raise ModelError(_cannot(want, "a Resize", graph))
    return node


def _add_resize(model: onnx.ModelProto, contract: Contract, axis: int, sampling: Sampling) -> None:
    import numpy as np
    from onnx import helper, numpy_helper

    graph = model.graph
    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset < _RESIZE_OPSET:
        raise ModelError(f"opset {opset} has no half-pixel Resize: export with opset 11 or later")
    shape = [1, contract.height, contract.width]
    shape.insert(axis, contract.channels)
    scores, result = graph.output[0].name, free_name(graph, "logits")
    size = free_name(graph, "logits_size")
    graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), size))
    resizing = _resizing(sampling)
    graph.node.append(
        helper.make_node(
            "Resize", [scores, "", "", size], [result], free_name(graph, "resize_to_image"), **resizing
        )
    )
    _set_output(graph, result, _FLOAT, shape)


def _resizing(sampling: Sampling) -> dict[str, str]:
    """Attributes of a Resize that samples as a contract says."""
    if sampling != "nearest":
        return {"mode": "linear", "coordinate_transformation_mode": sampling}
    coordinates = {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"}
    return {"mode": sampling, **coordinates}


def _add_valid(model: onnx.ModelProto, contract: Contract, axis: int, sampling: Sampling) -> None:
    graph, plane = model.graph, (contract.height, contract.width)
    if contract.threshold is not None:
        raise ModelError("--output vim is not possible: the network has one score per pixel; use classmap")
    scores, result = graph.output[0].name, free_name(graph, "classmap")
    add_valid(model, scores, result, axis, plane, _resizing(sampling))
    _set_output(graph, result, _INT32, [1, *plane])


def _add_decision(model: onnx.ModelProto, contract: Contract, axis: int, plane: tuple[int, int]) -> None:
    graph = model.graph
    scores, result = graph.output[0].name, free_name(graph, "classmap")
    if contract.threshold is None:
        add_best(model, scores, result, axis, plane)
    else:
        add_above(model, scores, result, plane, contract.threshold)
    _set_output(graph, result, _INT32, [1, *plane])


def _end_at(graph: onnx.GraphProto, name: str) -> None:
    known = {value.name: value for value in (*graph.value_info, *graph.input)}
    shape = list(_shape(known[name])) if name in known else []
    _set_output(graph, name, _FLOAT, shape or None)


def _set_output(graph: onnx.GraphProto, name: str, element: int, shape: list[int] | None) -> None:
    from onnx import helper

    kept = [value for value in (*graph.value_info, *graph.output) if value.name != name]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(name, element, shape))
    del graph.value_info[:]
    graph.value_info.extend(kept)


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _cannot(kind: str, ending: str, graph: onnx.GraphProto) -> str:
    return (
        f"--output {kind} is not possible: the graph's output '{graph.output[0].name}' does not end in "
        f"{ending}; export the model with that output"
    )
