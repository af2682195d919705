"""A small graph in the making: what a form draws on, with values from the grid or from a random generator.

The same form serves three uses. On the grid, shapes are the standard ones and axes have the grid's values;
drawn at random, shapes and values are random; in a chain, the first input is the tensor that is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.errors import ModelError

if TYPE_CHECKING:
    import onnx

Value = int | float | str | bool | None | tuple[int, ...] | tuple[float, ...]
"""Of an axis."""

STANDARD: Mapping[int, tuple[int, ...]] = {
    0: (),
    1: (24,),
    2: (6, 24),
    3: (1, 12, 16),
    4: (1, 8, 12, 16),
    5: (1, 2, 8, 6, 8),
    6: (1, 2, 2, 4, 4, 6),
}
"""Shape of the data on the grid, by rank; images are N, C, H, W."""

_KEEPS_SHAPE = {"GroupNormalization"}
"""Operators that ONNX infers no shape for, though it is their first input's."""

_OPSETS = range(7, 25)
"""Opsets that a case may be written in: ONNX Runtime has kernels for them."""


class UnfitError(Exception):
    """The form cannot be drawn on this: a shape, type or version does not suit it. Not an error to show."""


@dataclass(frozen=True, slots=True)
class Wire:
    """A tensor in a sketch."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """numpy's name."""

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)


@final
class Sketch:
    """A graph under construction, with its inputs' data."""

    def __init__(
        self, *, opset: int, dtype: str, rank: int, seed: int, random: bool, values: Mapping[str, Value]
    ) -> None:
        """Begin an empty graph.

        Args:
            opset: of the model.
            dtype: of the data that the next node works on.
            rank: of the same.
            seed: of all that is random.
            random: whether shapes are drawn, or standard.
            values: those of the form's axes.
        """
        self.opset, self.dtype, self.rank, self.random = opset, dtype, rank, random
        self.rng = np.random.default_rng(seed)
        self.values: dict[str, Value] = dict(values)
        self.feeds: dict[str, NDArray[Any]] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._told: list[onnx.ValueInfoProto] = []
        self._wire: Wire | None = None
        self._last: tuple[Wire, ...] = ()
        self._count = 0

    # -- what forms use ---------------------------------------------------------------------------

    def __getitem__(self, axis: str) -> Any:  # the form knows what its axis holds
        """Value of an axis."""
        return self.values[axis]

    def since(self, op: str) -> int:
        """Version of an operator that this opset means."""
        import onnx

        return int(onnx.defs.get_schema(op, self.opset, "").since_version)

    @property
    def chained(self) -> bool:
        """Whether the data is there already, so that its shape is given and its values are not known."""
        return self._wire is not None

    def place(self, axis: int) -> int:
        """An axis of the data, counted from the front; raises ``UnfitError`` where it has no such axis."""
        if not -self.rank <= axis < self.rank:
            raise UnfitError(f"axis {axis} of {self.rank}")
        return axis % self.rank

    def shape(self) -> tuple[int, ...]:
        """A shape of the sketch's rank: the standard one, or a random one of at most 20,000 elements."""
        if not self.random:
            return STANDARD[self.rank]
        while True:
            sides = [int(side) for side in self.rng.integers(1, 33, self.rank)]
            if self.rank >= 3 and self.rng.random() < 0.9:
                sides[0] = 1
            if np.prod(sides, dtype=float) <= 20_000:
                return tuple(sides)

    def data(self, shape: Sequence[int] | None = None, *, low: float = -3.0, high: float = 3.0) -> Wire:
        """The node's data: a new input of the sketch's type; in a chain, what is there.

        Integers are drawn from ``low`` to ``high`` too, both included (unsigned ones from 0), bools are drawn
        evenly. In a chain the shape is given: a form that needs another raises ``UnfitError``, as this does
        where ``low`` or ``high`` are not the defaults, for nobody knows the values there.
        """
        if self._wire is not None:
            if (low, high) != (-3.0, 3.0):
                raise UnfitError("values are not known in a chain")
            return self._wire
        return self.input(self.shape() if shape is None else shape, low=low, high=high)

    def input(
        self,
        shape: Sequence[int],
        *,
        dtype: str | None = None,
        low: float = -3.0,
        high: float = 3.0,
        values: NDArray[Any] | None = None,
    ) -> Wire:
        """A new computed input: random numbers between ``low`` and ``high``, or the values given."""
        import onnx

        dtype = dtype or self.dtype
        kind = np.dtype(dtype)
        if values is not None:
            array = np.asarray(values, kind).reshape(tuple(shape))
        elif kind == np.bool_:
            array = self.rng.random(tuple(shape)) < 0.5
        elif kind.kind in "iu":
            least = max(low, 0.0) if kind.kind == "u" else low
            array = self.rng.integers(int(least), int(high) + 1, tuple(shape)).astype(kind)
        else:
            array = self.rng.uniform(low, high, tuple(shape)).astype(kind)
        wire = Wire(self._name("in"), tuple(int(side) for side in shape), dtype)
        self._inputs.append(
            onnx.helper.make_tensor_value_info(
                wire.name, onnx.helper.np_dtype_to_tensor_dtype(kind), wire.shape
            )
        )
        self.feeds[wire.name] = array
        return wire

    def constant(self, array: NDArray[Any] | Sequence[Any] | float, dtype: str | None = None) -> Wire:
        """An initializer, by default of the sketch's type."""
        import onnx

        held = np.asarray(array, np.dtype(dtype or self.dtype))
        wire = Wire(self._name("const"), held.shape, str(held.dtype))
        self._constants.append(onnx.numpy_helper.from_array(held, wire.name))
        return wire

    def weights(self, shape: Sequence[int], *, spread: float = 0.5) -> Wire:
        """An initializer of random numbers around 0 in the sketch's type."""
        return self.constant(self.rng.normal(0.0, spread, tuple(shape)))

    def node(
        self,
        op: str,
        inputs: Sequence[Wire | None],
        *,
        outputs: int = 1,
        domain: str = "",
        **attributes: Any,  # whatever ONNX takes; None is left out
    ) -> tuple[Wire, ...]:
        """The node; a form makes exactly one. Raises ``UnfitError`` for a node that ONNX does not allow."""
        import onnx

        given = {name: value for name, value in attributes.items() if value is not None}
        names = [self._name("out") for _ in range(outputs)]
        node = onnx.helper.make_node(
            op, [wire.name if wire else "" for wire in inputs], names, name=f"{op}_{self._count}",
            domain=domain, **given,
        )  # fmt: skip
        self._nodes.append(node)
        if op in _KEEPS_SHAPE and inputs[0] is not None:
            self._told.append(
                onnx.helper.make_tensor_value_info(
                    names[0], onnx.helper.np_dtype_to_tensor_dtype(np.dtype(inputs[0].dtype)), inputs[0].shape
                )
            )
        self._last = tuple(self._inferred(name) for name in names)
        return self._last

    # -- what whoever draws uses ------------------------------------------------------------------

    @property
    def outputs(self) -> tuple[Wire, ...]:
        """Outputs of the last node."""
        return self._last

    def chain(self, values: Mapping[str, Value]) -> None:
        """Let the next form work on the last node's first output, with other values of axes."""
        self._wire = self._last[0]
        self.values = dict(values)
        self.dtype, self.rank = self._wire.dtype, self._wire.rank

    def model(self) -> onnx.ModelProto:
        """The whole model, checked; its outputs are those of the last node.

        Raises ``UnfitError`` for what ONNX's checker or shape inference refuses, and shapes not static.
        """
        import onnx

        outputs = [
            onnx.helper.make_tensor_value_info(
                wire.name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(wire.dtype)), wire.shape
            )
            for wire in self._last
        ]
        model = self._assembled(outputs)
        try:
            onnx.checker.check_model(model, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as err:
            raise UnfitError(str(err)) from err
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)

    def _assembled(self, outputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
        import onnx

        graph = onnx.helper.make_graph(self._nodes, "probe", self._inputs, outputs, self._constants)
        ends = {output.name for output in outputs}
        graph.value_info.extend(value for value in self._told if value.name not in ends)
        opset = onnx.helper.make_opsetid("", self.opset)
        return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)

    def _inferred(self, name: str) -> Wire:
        import onnx

        told = [value for value in self._told if value.name == name]
        model = self._assembled(told or [onnx.ValueInfoProto(name=name)])
        try:
            model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as err:
            raise UnfitError(str(err)) from err
        found = model.graph.output[0].type.tensor_type
        sides = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in found.shape.dim)
        if not found.elem_type or not found.HasField("shape") or min(sides, default=1) < 1:
            raise UnfitError(f"{name} has the shape {sides}")
        dtype = str(onnx.helper.tensor_dtype_to_np_dtype(found.elem_type))
        return Wire(name, sides, dtype)

    def _name(self, word: str) -> str:
        self._count += 1
        return f"{word}{self._count}"


def opset_of(op: str, version: int) -> int:
    """The newest opset in which an operator still has a version; raises ``ModelError`` for none in reach."""
    import onnx

    for opset in reversed(_OPSETS):
        try:
            schema = onnx.defs.get_schema(op, opset, "")
        except onnx.defs.SchemaError:
            continue
        if schema.since_version == version:
            return opset
    raise ModelError(f"no opset from {_OPSETS[0]} to {_OPSETS[-1]} has version {version} of {op}")


def versions_of(op: str, least: int = 1) -> tuple[int, ...]:
    """Versions of an operator that some opset in reach means, from ``least`` on."""
    import onnx

    found = set()
    for opset in _OPSETS:
        try:
            schema = onnx.defs.get_schema(op, opset, "")
        except onnx.defs.SchemaError:
            continue
        if not schema.deprecated and schema.since_version >= least:
            found.add(int(schema.since_version))
    return tuple(sorted(found))
