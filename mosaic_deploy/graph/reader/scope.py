"""The model around a node that is being rewritten: ranks of tensors, names and constants for new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from numpy.typing import NDArray

from mosaic_deploy.graph.reader.names import graphs

if TYPE_CHECKING:
    import onnx


@final
class Scope:
    """A model whose nodes are rewritten; what is new goes into its main graph, where bodies find it too."""

    def __init__(self, model: onnx.ModelProto, opset: int) -> None:
        self.opset = opset
        self._graph = model.graph
        self._held = {tensor.name: tensor for tensor in model.graph.initializer}
        self._taken: set[str] = set(self._held)
        self._shapes: dict[str, tuple[int, ...]] = {name: tuple(t.dims) for name, t in self._held.items()}
        self._fresh: list[onnx.TensorProto] = []
        for graph, _ in graphs(model.graph):
            for node in graph.node:
                self._taken.update((node.name, *node.input, *node.output))
            for value in (*graph.input, *graph.output, *graph.value_info):
                self._taken.add(value.name)
                tensor = value.type.tensor_type
                if tensor.HasField("shape"):
                    self._shapes[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """A tensor's shape, 0 for sides that are not known; None where its rank is not."""
        return self._shapes.get(name)

    def empty(self, name: str) -> bool:
        """Whether an input is left out, or is a constant without numbers, as it was left out before 13."""
        return not name or (name in self._held and 0 in self._held[name].dims)

    def name(self, node: onnx.NodeProto, word: str) -> str:
        """A name that nothing has, which begins as the node's."""
        stem = f"{node.name or node.output[0]}/{word}"
        name, number = stem, 0
        while name in self._taken:
            number += 1
            name = f"{stem}_{number}"
        self._taken.add(name)
        return name

    def const(self, node: onnx.NodeProto, word: str, array: NDArray[Any]) -> str:
        """Keep a constant for the node; returns its name."""
        import onnx

        name = self.name(node, word)
        self._fresh.append(onnx.numpy_helper.from_array(array, name))
        return name

    def finish(self) -> None:
        """Store the constants in the main graph."""
        self._graph.initializer.extend(self._fresh)
