"""Which precision OpenVINO really computed in, node by node, and whether that is what was asked for.

What a device makes of a network is its own affair: the CPU plugin computes floats in bfloat16 where the
processor has it, without a word, and dequantises where it has no kernel for integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mosaic_deploy.errors import RefusedError

if TYPE_CHECKING:
    import openvino

Arithmetic = Literal["float32", "int8"]
_HEAVY = ("Convolution", "GroupConvolution", "Deconvolution", "FullyConnected", "MatMul")
_IDLE = ("Input", "Output", "Parameter", "Result")
_KEYS = ("layerType", "primitiveType", "runtimePrecision", "originalLayersNames")
FLOATS = ("f16", "bf16", "f32", "f64")
"""The plugin's names of precisions that are no integers."""
_INT8 = ("i8", "u8")
_WHY = {
    "Interpolate": "this plugin dequantises before it interpolates linearly",
    "Reorder": "no arithmetic: it changes the order of a float tensor's axes",
    "Reshape": "no arithmetic",
    "Subgraph": "elementwise: it quantises, or brings integers back to floats for a float neighbour",
    "TopK": "the largest of the scores, which are floats already",
    "ArgMax": "the largest of the scores, which are floats already",
}
_UNSAID = "this plugin chose floats for it"


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a compiled network."""

    name: str
    kind: str
    """The plugin's name of what it does: ``Convolution``."""
    precision: str
    """``f32``, ``bf16``, ``u8`` and the like: what it computes in, where it computes."""
    origins: str = ""
    """Names of the operators that were fused into it, with commas."""

    def computes(self, operator: str) -> bool:
        """Whether the operator of that name was fused into this node."""
        return f",{operator}," in f",{self.origins},"


def nodes_of(compiled: openvino.CompiledModel) -> tuple[Node, ...]:
    """The nodes that do something in every run; empty where the device's plugin does not tell."""
    nodes = []
    constant: set[str] = set()
    for node in compiled.get_runtime_model().get_ordered_ops():
        facts = node.get_rt_info()
        if not all(key in facts for key in _KEYS):
            continue
        kind, kernel, said, origins = (str(facts[key].astype(str)) for key in _KEYS)
        sources = [value.get_node().get_friendly_name() for value in node.input_values()]
        if kind == "Const" or (sources and all(name in constant for name in sources)):
            constant.add(node.get_friendly_name())  # computed once, when it is compiled
        elif kind not in _IDLE:
            nodes.append(Node(node.get_friendly_name(), kind, _precision(kernel, said), origins))
    return tuple(nodes)


def _precision(kernel: str, said: str) -> str:
    """The precision that a kernel's name ends in: ``f32`` of ``brgconv_avx512_1x1_f32``.

    Else what the plugin says of the node, which is that of its narrowest input: it calls a float32
    convolution f16 whose weights lie in the file as float16.
    """
    ending = kernel.rpartition("_")[2].lower()
    return ending if ending in (*FLOATS, *_INT8) else said


def judge(nodes: Sequence[Node], *, arithmetic: Arithmetic) -> dict[str, object]:
    """Facts for the manifest: ``precision``, ``nodes``, ``outside`` and, by kind, ``outside_because``.

    ``outside`` names what computes in floats although the network is one of integers.

    Raises:
        RefusedError: a float network does not compute in float32, or no convolution or matrix product of
            an int8 one computes in integers.
    """
    if not nodes:
        raise RefusedError("OpenVINO does not say in which precision this device computes")
    outside: list[Node] = []
    if arithmetic == "float32":
        require_everywhere(nodes, arithmetic=arithmetic)
    else:
        outside = [node for node in nodes if node.precision in FLOATS]
        heavy = [node for node in nodes if node.kind in _HEAVY]
        if all(node.precision in FLOATS for node in heavy):
            require_everywhere(heavy, arithmetic=arithmetic)
    facts: dict[str, object] = {
        "precision": arithmetic,
        "nodes": len(nodes),
        "outside": [node.name for node in outside],
    }
    if outside:
        kinds = sorted({node.kind for node in outside})
        facts["outside_because"] = {kind: _WHY.get(kind, _UNSAID) for kind in kinds}
    return facts


def require_everywhere(nodes: Sequence[Node], *, arithmetic: Arithmetic) -> None:
    """Raise ``RefusedError`` where anything is not float32, or a convolution or matrix product not int8."""
    if arithmetic == "float32":
        wrong = [node for node in nodes if node.precision in FLOATS and node.precision != "f32"]
    else:
        wrong = [node for node in nodes if node.kind in _HEAVY and node.precision not in _INT8]
    if wrong:
        named = ", ".join(f"{node.kind} '{node.name[:60]}' in {node.precision}" for node in wrong[:3])
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise RefusedError(f"OpenVINO computes {named}{more}, not in {arithmetic}")
