"""Names for an exported graph: nodes, tensors and constants called after the PyTorch modules they are of.

A convolution is called like its module (``backbone.stem.conv.conv``), any other node like its module and
operator (``backbone.blocks.1.add``); a name that is taken gets ``_1``, ``_2``, ... in the graph's order.
A node's output has the node's name, and ``_0``, ``_1``, ... where there are several.

Each node's ``metadata_props`` then hold ``module``, the dotted PyTorch module, and ``source``, the chain
of ``file:line`` from the outermost call inwards, with files relative to their package's parent.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

SOURCE, MODULE = "source", "module"
"""Keys of a node's metadata."""

_CALL = " > "  # from a caller to what it calls
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_ROLES = {"Conv": ("", "weight", "bias"), "Resize": ("", "roi", "scales", "sizes")}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a node comes from: the dotted module, and ``file:line`` of the calls, outermost first."""

    module: str
    source: str


type Origins = Mapping[str, Origin]
"""Output name of a node -> its origin."""


def origins(traced: onnx.ModelProto, *, library: Path) -> Origins:
    """Read the origins that torch's exporter noted.

    A node that one of its rewrites made has none: it gets what the readers of its outputs share. Source lines
    inside ``library``, the folder of torch itself, say nothing of a network and are left out.
    """
    found: dict[str, Origin] = {}
    unknown = []
    for node in traced.graph.node:
        notes = {entry.key: entry.value for entry in node.metadata_props}
        scopes = notes.get("pkg.torch.onnx.name_scopes")
        if scopes is None:
            unknown.append(node)
        else:
            *modules, _ = ast.literal_eval(scopes)
            calls = _calls(notes.get("pkg.torch.onnx.stack_trace", ""), library)
            found[node.output[0]] = Origin(modules[-1] if modules else "", calls)
    for node in reversed(unknown):
        readers = [r for r in traced.graph.node if not set(r.input).isdisjoint(node.output)]
        known = [found[r.output[0]] for r in readers if r.output[0] in found]
        if known:
            found[node.output[0]] = Origin(
                _shared([origin.module for origin in known], "."),
                _shared([origin.source for origin in known], _CALL),
            )
    return found


def _shared(texts: Sequence[str], separator: str) -> str:
    parts = [text.split(separator) for text in texts]
    same = takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False))
    return separator.join(column[0] for column in same)


def _calls(trace: str, library: Path) -> str:
    frames = [(f, line) for f, line in _FRAME.findall(trace) if not f.startswith(str(library))]
    return _CALL.join(f"{_relative(Path(file))}:{line}" for file, line in frames)


def _relative(file: Path) -> str:
    package = file.parent
    while (package / "__init__.py").is_file():
        package = package.parent
    return file.relative_to(package).as_posix()


def rename(graph: onnx.GraphProto, facts: Origins) -> None:
    """Give every node, tensor and constant its name; the graph's inputs and outputs keep theirs."""
    constants = {tensor.name for tensor in graph.initializer}
    fixed = {value.name for value in (*graph.input, *graph.output)}
    new: dict[str, str] = {}
    taken = set(fixed)
    for node in graph.node:
        origin = facts.get(node.output[0])
        node.name = _free(_node_name(node, origin, constants), taken)
        for index, output in enumerate(node.output):
            if output not in fixed:
                new[output] = node.name if len(node.output) == 1 else f"{node.name}_{index}"
        _note(node, origin, constants)
        for index, name in enumerate(node.input):
            if name in constants and name not in new:
                new[name] = _free(f"{node.name}.{_role(node.op_type, index)}", taken)
    _apply(graph, new)


def _node_name(node: onnx.NodeProto, origin: Origin | None, constants: set[str]) -> str:
    if convolution := _convolution(node, constants):
        return convolution
    module, kind = origin.module if origin else "", node.op_type.lower()
    return module if module.split(".")[-1] == kind else f"{module}.{kind}".lstrip(".")


def _convolution(node: onnx.NodeProto, constants: set[str]) -> str:
    """Return the dotted module of a convolution, which its weight is named after; else nothing.

    Its origin would be the batch norm that was folded into it.
    """
    weight = node.input[1] if node.op_type == "Conv" else ""
    return weight.removesuffix(".weight") if weight in constants and weight.endswith(".weight") else ""


def _role(op_type: str, index: int) -> str:
    roles = _ROLES.get(op_type, ())
    return roles[index] if index < len(roles) else f"input_{index}"


def _free(name: str, taken: set[str]) -> str:
    free, number = name, 0
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free


def _note(node: onnx.NodeProto, origin: Origin | None, constants: set[str]) -> None:
    del node.metadata_props[:]
    node.doc_string = ""
    if origin is not None:
        module = _convolution(node, constants) or origin.module
        for key, value in ((MODULE, module), (SOURCE, origin.source)):
            entry = node.metadata_props.add()
            entry.key, entry.value = key, value


def _apply(graph: onnx.GraphProto, new: Mapping[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for named in (*graph.initializer, *graph.value_info):
        named.name = new.get(named.name, named.name)
