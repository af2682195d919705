"""A TFLite file held against what Coral documents of its Edge TPU compiler; runs in a child process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.errors import RefusedError, SpecError
from mosaic_deploy.specs.toml import read_toml
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_INTEGERS = ("INT8", "UINT8", "INT16", "INT32")
_SOFTMAX_MOST = 16_000
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
"""Operators whose second input is their weights."""


class Row(BaseModel):
    """What is documented of one operator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    constraints: tuple[str, ...] = ()
    """Names in ``CONSTRAINTS``."""
    may_stay: str = ""
    """Why the compiler may leave even a fitting one to the CPU, where that is documented."""


class Table(BaseModel):
    """Coral's table of operators."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[str, ...]
    runtime: int
    ops: dict[str, Row]


@dataclass(frozen=True, slots=True)
class Node:
    """One operator, with what its constraints look at."""

    model: Any
    op: Any

    def shape(self, index: int) -> list[int]:
        """Shape of an input."""
        return [int(d) for d in self.model.subgraphs[0].tensors[self.op.inputs[index]].shape]

    def result(self) -> list[int]:
        """Shape of the first output."""
        return [int(d) for d in self.model.subgraphs[0].tensors[self.op.outputs[0]].shape]

    def value(self, index: int) -> Any:
        """An input's constant value, or None."""
        return flatbuffer.constant(self.model, int(self.op.inputs[index]))


def _no_fused_activation(node: Node) -> bool:
    return int(node.op.builtinOptions.fusedActivationFunction) == 0


def _constant_input_is_zero_padding(node: Node) -> bool:
    constants = [v for i in range(len(node.op.inputs)) if (v := node.value(i)) is not None]
    graph = node.model.subgraphs[0]
    zeros = [
        (graph.tensors[i].quantization.zeroPoint or [0])[0]
        for i in node.op.inputs
        if flatbuffer.constant(node.model, int(i)) is not None
    ]
    if not constants:
        return True
    return len(node.op.inputs) == 2 and all(
        bool((v == z).all()) for v, z in zip(constants, zeros, strict=True)
    )


def _same_dilation(node: Node) -> bool:
    options = node.op.builtinOptions
    return bool(options.dilationHFactor == options.dilationWFactor)


def _batch_not_padded(node: Node) -> bool:
    widths = node.value(1)
    return widths is not None and not widths[0].any()


def _batch_not_reduced(node: Node) -> bool:
    axes = node.value(1)
    rank = len(node.shape(0))
    return axes is not None and all(int(axis) % rank != 0 for axis in np.atleast_1d(axes))


def _depth_reduced_by_fours(node: Node) -> bool:
    axes, shape = node.value(1), node.shape(0)
    last = len(shape) - 1
    reduced = axes is not None and any(int(axis) % len(shape) == last for axis in np.atleast_1d(axes))
    return not reduced or shape[last] % 4 == 0


def _batch_not_split(node: Node) -> bool:
    axis = node.value(0)
    return axis is not None and int(axis) % len(node.shape(1)) != 0


def _batch_not_packed(node: Node) -> bool:
    return int(node.op.builtinOptions.axis) % len(node.result()) != 0


def _alpha_along_depth(node: Node) -> bool:
    return all(side == 1 for side in node.shape(1)[:-1])


def _three_dimensions(node: Node) -> bool:
    return all(side == 1 for shape in (node.shape(0), node.result()) for side in shape[:-3])


def _one_dimension_of_16000(node: Node) -> bool:
    shape = node.shape(0)
    return sum(side > 1 for side in shape) <= 1 and int(np.prod(shape)) <= _SOFTMAX_MOST


def _unit_strides_without_masks(node: Node) -> bool:
    strides, options = node.value(3), node.op.builtinOptions
    return (
        strides is not None
        and bool((strides == 1).all())
        and not (options.ellipsisMask or options.newAxisMask)
    )


def _default_weights_one_dimension(node: Node) -> bool:
    plain = int(node.op.builtinOptions.weightsFormat) == 0
    return plain and sum(side > 1 for side in node.result()) <= 1


CONSTRAINTS: dict[str, tuple[str, Callable[[Node], bool]]] = {
    "no_fused_activation": ("it must have no fused activation", _no_fused_activation),
    "constant_input_is_zero_padding": (
        "a constant input must be all zeros and one of two inputs",
        _constant_input_is_zero_padding,
    ),
    "same_dilation": ("its dilation must be the same along both axes", _same_dilation),
    "batch_not_padded": ("it must not pad the batch", _batch_not_padded),
    "batch_not_reduced": ("it must not reduce the batch", _batch_not_reduced),
    "depth_reduced_by_fours": ("a reduced depth must be a multiple of 4", _depth_reduced_by_fours),
    "batch_not_split": ("it must not split the batch", _batch_not_split),
    "batch_not_packed": ("it must not pack along the batch", _batch_not_packed),
    "alpha_along_depth": ("its slopes must differ along the depth only", _alpha_along_depth),
    "three_dimensions": ("all but the last three dimensions must be 1", _three_dimensions),
    "one_dimension_of_16000": ("it must have one dimension, of 16000 at most", _one_dimension_of_16000),
    "unit_strides_without_masks": (
        "strides must be 1, with no ellipsis and no new axis",
        _unit_strides_without_masks,
    ),
    "default_weights_one_dimension": (
        "weights must be in the default format and the output have one dimension",
        _default_weights_one_dimension,
    ),
}
"""Name in the table -> what the constraint says, and whether a node keeps it."""


def check(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Hold every operator of ``request["model"]`` against the ``table`` (a TOML file).

    Returns:
        ``operators`` (kind -> count) and ``may_stay`` (sentences on those that fit but may yet be left to the
        CPU).

    Raises:
        RefusedError: an operator or tensor is none for an Edge TPU; names it.
        SpecError: the table is wrong.
    """
    table = read_table(Path(request["table"]))
    model = flatbuffer.load(Path(request["model"]))
    counts: dict[str, int] = {}
    unsure: list[str] = []
    for op in model.subgraphs[0].operators:
        kind = flatbuffer.kind(model, op)
        counts[kind] = counts.get(kind, 0) + 1
        row = table.ops.get(kind)
        name = f"{kind} '{flatbuffer.title(model.subgraphs[0].tensors[op.outputs[0]])}'"
        if row is None:
            raise RefusedError(f"an Edge TPU has no {name}: {_advice(kind)}")
        _check_tensors(model, op, name)
        for constraint in row.constraints:
            sentence, holds = CONSTRAINTS[constraint]
            if not holds(Node(model, op)):
                raise RefusedError(f"an Edge TPU does not take {name}: {sentence}")
        if row.may_stay:
            unsure.append(f"{name}: {row.may_stay}")
    return {"operators": counts, "may_stay": unsure}


def read_table(path: Path) -> Table:
    """Read the table; raises ``SpecError`` for a constraint that is not known here."""
    table = read_toml(Table, path)
    for kind, row in table.ops.items():
        for name in row.constraints:
            if name not in CONSTRAINTS:
                raise SpecError(f"{path}: {kind}: no constraint '{name}'; known: {', '.join(CONSTRAINTS)}")
    return table


def _check_tensors(model: Any, op: Any, name: str) -> None:
    graph = model.subgraphs[0]
    for index in (*op.inputs, *op.outputs):
        if index < 0:
            continue
        tensor = graph.tensors[index]
        if flatbuffer.dtype(tensor) not in _INTEGERS:
            raise RefusedError(
                f"an Edge TPU computes in integers: {name} has the {flatbuffer.dtype(tensor)} tensor "
                f"'{flatbuffer.title(tensor)}'"
            )
        signature = tensor.shapeSignature
        if signature is not None and any(int(d) < 0 for d in signature):
            raise RefusedError(
                f"an Edge TPU needs sizes that are fixed: '{flatbuffer.title(tensor)}' of {name}"
            )
    if flatbuffer.kind(model, op) in _WEIGHTED and flatbuffer.constant(model, int(op.inputs[1])) is None:
        raise RefusedError(f"an Edge TPU needs constant weights: {name} computes its own")


def _advice(kind: str) -> str:
    if kind in ("ARG_MAX", "ARG_MIN"):
        return "build with --output lowres or logits, and let the application compare the scores"
    return "replace the operator, or build another target"
