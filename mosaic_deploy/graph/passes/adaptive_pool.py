"""Uneven adaptive average pooling, which exporters spell out in hundreds of nodes, as two matrix products.

    x (N,C,h,w) -> Gather, Add, Div, Concat, ... -> y (N,C,H,W)    becomes    y = A (H,h) @ x @ B (w,W)

written with both constants on the right, which compilers take:

    x -> MatMul(B) -> Transpose -> MatMul(A turned) -> Transpose -> y

A and B average the windows that PyTorch defines: from floor(i * h / H) to ceil((i + 1) * h / H). Whether the
nodes compute just that is tried on random numbers; two linear maps that agree on those are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.index import GraphIndex
from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site

if TYPE_CHECKING:
    import onnx

_LINEAR = (
    "Add", "Cast", "Concat", "Constant", "Div", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
    "Identity", "Mul", "ReduceMean", "ReduceSum", "Reshape", "Slice", "Split", "Squeeze", "Sum", "Transpose",
    "Unsqueeze", "Where",
)  # fmt: skip
_ENDS = ("Add", "Concat", "Div", "Mul", "ReduceMean", "Reshape", "Transpose", "Unsqueeze")
_FEWEST, _MOST = 4, 4000
_LARGEST = 1 << 22


def windows(before: int, after: int) -> NDArray[np.float64]:
    """Build the matrix that averages adaptive windows, (after, before)."""
    weights = np.zeros((after, before))
    for row in range(after):
        first, end = row * before // after, -(-(row + 1) * before // after)
        weights[row, first:end] = 1 / (end - first)
    return weights


def _rewrite(site: Site) -> bool:
    small = site.out_shape
    if small is None or len(small) != 4 or site.graph.dtype(site.node.output[0]) != np.float32:
        return False
    if _goes_on(site.node, site.graph, small):
        return False
    for x, region in _regions(site.node, site.graph, small):
        big = site.graph.shape(x) or ()
        rows, columns = windows(big[2], small[2]), windows(big[3], small[3])
        if _agrees(site, x, region, (rows, columns)):
            site.also_replaces(*region)
            narrow = site.op("MatMul", x, site.const(columns.T.astype(np.float32)))
            turned = site.transpose(narrow, (0, 1, 3, 2))
            small_turned = site.op("MatMul", turned, site.const(rows.T.astype(np.float32)))
            return site.replace_with(site.transpose(small_turned, (0, 1, 3, 2)))
    return False


def _goes_on(node: onnx.NodeProto, graph: GraphIndex, small: tuple[int, ...]) -> bool:
    """Whether the sum or quotient of the same size behind a node belongs to the pooling, too."""
    reader = graph.only_consumer(node.output[0])
    if (
        reader is None
        or reader.op_type not in ("Add", "Div", "Mul")
        or graph.shape(reader.output[0]) != small
    ):
        return False
    others = [name for name in reader.input if name != node.output[0]]
    return all(graph.constant(name) is not None or graph.producer(name, *_LINEAR) for name in others)


def _regions(
    last: onnx.NodeProto, graph: GraphIndex, small: tuple[int, ...]
) -> Iterator[tuple[str, list[onnx.NodeProto]]]:
    """Find the larger image that all of the nodes before the last one come from, with those nodes."""
    seen, waiting, entries = [last], list(last.input), set[str]()
    known = {last.output[0]}
    while waiting:
        name = waiting.pop()
        if not name or name in known or graph.constant(name) is not None:
            continue
        known.add(name)
        shape, node = graph.shape(name), graph.producer(name, *_LINEAR)
        big = shape is not None and len(shape) == 4 and shape[:2] == small[:2]
        larger = big and shape is not None and shape[2] > small[2] and shape[3] > small[3]
        if node is None or (larger and len(graph.consumers(name)) >= _FEWEST):
            if not larger:
                return
            entries.add(name)
        else:
            seen.append(node)
            known.update(node.output)
            waiting.extend(node.input)
        if len(entries) > 1 or len(seen) > _MOST:
            return
    if len(entries) == 1 and len(seen) >= _FEWEST:
        yield entries.pop(), seen


def _agrees(
    site: Site, x: str, region: list[onnx.NodeProto], weights: tuple[NDArray[Any], NDArray[Any]]
) -> bool:
    big = site.graph.shape(x)
    if big is None or np.prod(big) > _LARGEST:
        return False
    image = np.random.default_rng(0).normal(size=big).astype(np.float32)
    found = _evaluate(site, x, region, image)
    expected = weights[0] @ image @ weights[1].T
    return found is not None and found.shape == expected.shape and bool(np.abs(found - expected).max() < 1e-4)


def _evaluate(site: Site, x: str, region: list[onnx.NodeProto], image: NDArray[Any]) -> NDArray[Any] | None:
    """Run the nodes by onnx's own reference; None where it cannot."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    chosen = {node.output[0] for node in region}
    nodes = [node for node in site.graph.model.graph.node if node.output[0] in chosen]
    made = {name for node in nodes for name in node.output}
    read = {name for node in nodes for name in node.input if name} - made - {x}
    constants = [(name, site.graph.constant(name)) for name in sorted(read)]
    if any(value is None for _, value in constants):
        return None
    graph = onnx.helper.make_graph(
        nodes,
        "region",
        [onnx.helper.make_tensor_value_info(x, onnx.TensorProto.FLOAT, image.shape)],
        [onnx.helper.make_tensor_value_info(site.node.output[0], onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants],
    )
    opset = onnx.helper.make_opsetid("", site.graph.opset)
    try:
        found = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=[opset])).run(None, {x: image})
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError):
        return None
    return np.asarray(found[0]) if isinstance(found, list) else None


ADAPTIVE_POOL = Pass(
    name="adaptive_pool",
    summary="an uneven AdaptiveAvgPool, spelled out -> MatMul, Transpose, MatMul, Transpose",
    anchors=_ENDS,
    resolves=("Gather", "GatherND", "Where", "Expand", "Concat", "GatherElements"),
    rewrite=_rewrite,
)
