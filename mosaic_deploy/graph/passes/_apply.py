"""One pass over a graph: finds its places, puts the replacements in, and sweeps out what died of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.graph.facts import title
from mosaic_deploy.graph.index import GraphIndex, reads
from mosaic_deploy.graph.odd import ODD
from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site

if TYPE_CHECKING:
    import onnx

_SWEEPS = 16


@dataclass(frozen=True, slots=True)
class Change:
    """One node that a pass replaced."""

    node: str
    op: str
    covered: tuple[str, ...]
    """The node and whatever else the replacement stands for."""
    made: tuple[str, ...]
    """Names of the new nodes."""
    outputs: tuple[str, ...]
    """Tensors that exist before and after and should hold the same."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a pass made of a model."""

    model: onnx.ModelProto
    """The very one that was given if ``modified`` is 0, else a new one, its shapes inferred."""
    changes: tuple[Change, ...]

    @property
    def modified(self) -> int:
        """Number of places that changed."""
        return len(self.changes)


def apply(step: Pass, model: onnx.ModelProto, *, wanted: Collection[str] | None = None) -> Applied:
    """Apply a pass until it finds nothing more to do.

    Nodes of a model that is quantised already stay as they are, and so do names of inputs, outputs and of
    all nodes that are not replaced.

    Args:
        step: the pass.
        model: as ``read_model`` returned it: its shapes are inferred. It is not changed.
        wanted: names of nodes, as the check gives them; only places that touch one of them change, None
            means all.

    Raises:
        ModelError: the pass made no sound ONNX of it.
    """
    from mosaic_deploy.graph.reader import shapes

    changes: list[Change] = []
    for _ in range(_SWEEPS):
        sites = _sites(step, GraphIndex(model), wanted)
        if not sites:
            break
        model = _assemble(model, sites)
        shapes.infer(model)
        changes.extend(_change(site) for site in sites)
    return Applied(model, tuple(changes))


def _sites(step: Pass, graph: GraphIndex, wanted: Collection[str] | None) -> list[Site]:
    found, taken = [], set[str]()
    for node in graph.model.graph.node:
        if node.op_type not in step.anchors or node.domain not in ("", "ai.onnx") or graph.quantized(node):
            continue
        if wanted is not None and not step.resolves and title(node) not in wanted:
            continue
        site = Site(node, graph)
        if not drafted(step, site):
            continue
        titles = {title(covered) for covered in site.covered}
        outputs = {name for covered in site.covered for name in covered.output}
        if (wanted is None or not titles.isdisjoint(wanted)) and taken.isdisjoint(outputs):
            taken |= outputs
            found.append(site)
    return found


def drafted(step: Pass, site: Site) -> bool:
    """Whether the pass drafts a replacement; it walks away from what it does not expect."""
    try:
        with np.errstate(all="ignore"):  # numbers that are none, in an odd graph
            return step.rewrite(site)
    except ODD:
        return False


def _change(site: Site) -> Change:
    return Change(
        node=title(site.node),
        op=site.node.op_type,
        covered=tuple(title(node) for node in site.covered),
        made=tuple(title(node) for node in site.made),
        outputs=tuple(name for name in site.node.output if name),
    )


def _assemble(model: onnx.ModelProto, sites: Sequence[Site]) -> onnx.ModelProto:
    import onnx

    fresh = onnx.ModelProto()
    fresh.CopyFrom(model)
    graph = fresh.graph
    dead_before = _dead(graph)
    by_output = {site.node.output[0]: site for site in sites}
    nodes: list[onnx.NodeProto] = []
    rewired: dict[str, str] = {}
    for node in graph.node:
        site = by_output.get(node.output[0])
        nodes.extend([node] if site is None else _replacement(site, rewired))
    _rewire(nodes, rewired)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    for site in sites:
        graph.initializer.extend(site.constants)
    _sweep(graph, dead_before)
    _raise_opset(fresh, max(site.opset for site in sites))
    return fresh


def _replacement(site: Site, rewired: dict[str, str]) -> list[onnx.NodeProto]:
    """Let the draft make the node's own outputs; where it gives what exists already, rewire the readers."""
    import onnx

    made = {name for node in site.made for name in node.output}
    renamed: dict[str, str] = {}
    extra = []
    for old, new in zip(site.node.output, site.given, strict=False):
        if not old:
            continue
        if new in made and new not in renamed and new not in site.graph.protected:
            renamed[new] = old
        elif old in site.graph.protected:
            extra.append(onnx.helper.make_node("Identity", [new], [old], name=f"{title(site.node)}/identity"))
        else:
            rewired[old] = new
    for node in (*site.made, *extra):
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
        node.metadata_props.extend(site.node.metadata_props)
    return [*site.made, *extra]


def _rewire(nodes: Iterable[onnx.NodeProto], rewired: Mapping[str, str]) -> None:
    if not rewired:
        return
    for node in nodes:
        for index, name in enumerate(node.input):
            while name in rewired:
                name = rewired[name]  # a chain of removed nodes
            node.input[index] = name


def _read_anywhere(graph: onnx.GraphProto) -> set[str]:
    return {name for node in graph.node for name in reads(node)} | {value.name for value in graph.output}


def _dead(graph: onnx.GraphProto) -> set[str]:
    """Nodes' outputs and constants that nothing reads even before the pass: none of its business."""
    read = _read_anywhere(graph)
    nodes = [node for node in graph.node if read.isdisjoint(node.output)]
    return {name for node in nodes for name in node.output} | {t.name for t in graph.initializer} - read


def _sweep(graph: onnx.GraphProto, dead_before: set[str]) -> None:
    """Remove nodes, constants and notes of shapes that nothing reads any more."""
    while True:
        read = _read_anywhere(graph)
        alive = [n for n in graph.node if any(o in read or o in dead_before for o in n.output if o)]
        if len(alive) == len(graph.node):
            break
        kept = [type(node).FromString(node.SerializeToString()) for node in alive]
        del graph.node[:]
        graph.node.extend(kept)
    keep = read | dead_before
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in keep:
            del graph.initializer[index]
    known = {name for node in graph.node for name in node.output}
    for index in reversed(range(len(graph.value_info))):
        if graph.value_info[index].name not in known:
            del graph.value_info[index]


def _raise_opset(model: onnx.ModelProto, opset: int) -> None:
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = max(entry.version, opset)
