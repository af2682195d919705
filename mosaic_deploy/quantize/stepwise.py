"""A graph run piece by piece, each piece on all images before the next: what one gives may be changed.

    nodes up to the first cut -> its values, changed -> nodes up to the second -> ...

So a network is run once, however many tensors are changed on the way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from mosaic_deploy.graph.execute import Session
from mosaic_deploy.graph.reader.living import reads

if TYPE_CHECKING:
    import onnx

Values = dict[str, NDArray[Any]]
"""Tensors of one image that later pieces read, by name."""


def stepwise(
    model: onnx.ModelProto, cuts: Collection[str], images: Sequence[Values], *, threads: int
) -> Iterator[tuple[str, Sequence[Values]]]:
    """Run a graph up to each cut in turn.

    Args:
        model: its nodes in an order in which they can be run; what follows the last cut is not run.
        cuts: tensors that nodes make.
        images: the graph's input for each image.
        threads: of the kernels.

    Yields:
        The name of a cut and, for each image, the values that are held then; what the caller puts there under
        that name is what the rest of the graph reads.

    Raises ``ModelError`` where ONNX Runtime does not run it.
    """
    held = [dict(image) for image in images]
    constants = _constants(model)
    pieces = list(_pieces(model, cuts, constants))
    wanted = [{name for node in piece for name in reads(node)} for piece in pieces]
    for index, piece in enumerate(pieces):
        made = {name for node in piece for name in node.output if name}
        later = set().union(*wanted[index + 1 :])
        (cut,) = made & set(cuts)
        outputs = sorted(made & (later | {cut}))
        session = Session(_part(model, piece, held[0], outputs, constants), threads=threads)
        taken = [port.name for port in session.inputs]
        for values in held:
            found = session.run({name: values[name] for name in taken}, outputs)
            values |= dict(zip(outputs, found, strict=True))
            for name in set(values) - later - {cut}:
                del values[name]
        yield cut, held


def _pieces(
    model: onnx.ModelProto, cuts: Collection[str], constants: set[str]
) -> Iterator[list[onnx.NodeProto]]:
    """The nodes up to each cut that no earlier one has; what makes constants, for all, is in none."""
    piece: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if constants.isdisjoint(node.output):
            piece.append(node)
        if not set(cuts).isdisjoint(node.output):
            yield piece
            piece = []


def _constants(model: onnx.ModelProto) -> set[str]:
    """Tensors that depend on no image."""
    known = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if known.issuperset(reads(node)):
            known |= {name for name in node.output if name}
    return known


def _part(
    model: onnx.ModelProto,
    piece: Sequence[onnx.NodeProto],
    held: Values,
    outputs: Sequence[str],
    constants: set[str],
) -> onnx.ModelProto:
    """A model of these nodes, and of the constants that they read."""
    from onnx import ValueInfoProto, helper

    needed = {name for node in piece for name in reads(node)}
    kept: list[onnx.NodeProto] = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output) and not constants.isdisjoint(node.output):
            kept.append(node)
            needed |= set(reads(node))
    sources = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in held.items()
        if name in needed
    ]
    graph = helper.make_graph(
        [*reversed(kept), *piece],
        "piece",
        sources,
        [ValueInfoProto(name=name) for name in outputs],
        [tensor for tensor in model.graph.initializer if tensor.name in needed],
    )
    made = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    made.functions.extend(model.functions)
    return made
