"""Mutations of a model that know ONNX: each makes one part of it hostile, in place."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import onnx
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]  # has no stubs
from google.protobuf.message import Message  # type: ignore[import-untyped]
from onnx import helper

INTS = (0, 1, -1, 2, 3, -3, 4, 7, 64, 1000, 65537, 2**31 - 1, -(2**31), 2**31, 2**32, 2**40, 2**62, 2**63 - 1,
        -(2**63))  # fmt: skip
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 3e38, 1e-40, float("inf"), float("-inf"), float("nan"))
TEXTS = ("", "x", "image", "logits", "\n", "\x1b[31m", "\u202e", "../../etc", "a" * 300, "b" * 5000,
         "%s%n{0}", "NOTSET", "SAME_UPPER", "cubic", "ij,jk->ik", "...")  # fmt: skip
_KINDS = (0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16, 17, 21, 22, 24, 26, 27, 99, -1, 2**31 - 1)


def fields(model: onnx.ModelProto, rng: random.Random) -> None:
    """Set any field of any message to something of its type."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        message = rng.choice(_messages(model))
        field = rng.choice(message.DESCRIPTOR.fields)
        if field.message_type is not None:
            if field.is_repeated and rng.random() < 0.5:
                _perhaps_clear(message, field.name, rng)
                getattr(message, field.name).add()
            elif rng.random() < 0.5:
                message.ClearField(field.name)
            elif not field.is_repeated:
                getattr(message, field.name).SetInParent()
            continue
        value = _value(field, rng)
        if field.is_repeated:
            getattr(message, field.name).extend([value] * rng.choice((1, 1, 2, 70)))
        else:
            setattr(message, field.name, value)


def _perhaps_clear(message: Message, field: str, rng: random.Random) -> None:
    if rng.random() < 0.5:
        message.ClearField(field)


def _messages(message: Message) -> list[Message]:
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if field.is_repeated else [value]:
                found += _messages(child)
    return found


def _value(field: FieldDescriptor, rng: random.Random) -> int | float | str | bytes:
    kinds: dict[int, Sequence[float | str | bytes]]
    kinds = {1: FLOATS, 2: FLOATS, 9: TEXTS, 12: (*(text.encode() for text in TEXTS), b"\xff\xfe")}
    if field.type in kinds:
        return rng.choice(kinds[field.type])
    if field.enum_type is not None:
        return int(rng.choice([value.number for value in field.enum_type.values]))
    small = field.type in (5, 13)
    value = rng.choice([i for i in INTS if not small or -(2**31) <= i < 2**31])
    return abs(value) if field.type in (4, 13) else value


def dims(model: onnx.ModelProto, rng: random.Random) -> None:
    """Make a constant or a stated shape negative, huge, deep or symbolic."""
    graph = model.graph
    if rng.random() < 0.5 and graph.initializer:
        tensor = rng.choice(graph.initializer)
        if rng.random() < 0.5 and tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(INTS)
        else:
            tensor.dims.extend([rng.choice((*INTS, 2**39))] * rng.choice((1, 4, 30, 63, 70, 2000)))
        return
    shape = rng.choice([*graph.input, *graph.output, *graph.value_info]).type.tensor_type.shape
    for _ in range(rng.choice((1, 1, 1, 30, 1000))):
        shape.dim.add(dim_value=rng.choice(INTS))
    if rng.random() < 0.7:
        rng.choice(shape.dim).dim_param = rng.choice(TEXTS)
        kept = rng.randrange(6)
        del shape.dim[kept:]
        for dim in shape.dim:
            if rng.random() < 0.4:
                dim.dim_value = rng.choice(INTS)


def names(model: onnx.ModelProto, rng: random.Random) -> None:
    """Give the name of one thing to another, or one that is no name."""
    graph = model.graph
    things = [*graph.initializer, *graph.input, *graph.output, *graph.node, *graph.value_info]
    one, other = rng.choice(things), rng.choice(things)
    one.name = rng.choice((other.name, other.name, *TEXTS, "m" * (3 << 20)))
    if rng.random() < 0.3 and graph.node:
        node = rng.choice(graph.node)
        node.output.append(rng.choice((other.name, *node.output, *node.input, "")))


def edges(model: onnx.ModelProto, rng: random.Random) -> None:
    """Let nodes read what comes later, nothing or themselves; shuffle, drop, double and leave out."""
    nodes = model.graph.node
    made = [name for node in nodes for name in node.output] + ["", "nowhere"]
    for _ in range(rng.choice((1, 1, 3))):
        node, act = rng.choice(nodes), rng.randrange(6)
        if act <= 1 and node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice(made)
        elif act == 2:
            node.input.extend([rng.choice(made)] * rng.choice((1, 2, 3000)))
        elif act == 3:
            _perhaps_clear(node, rng.choice(("input", "output")), rng)
        elif act == 4:
            kept = list(nodes)
            rng.shuffle(kept)
            copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in kept]
            del nodes[:]
            nodes.extend(copies[rng.randrange(2) :])
            nodes.extend(copies[:1] if not nodes else [])
        else:
            nodes.insert(rng.randrange(len(nodes)), node)


def attributes(model: onnx.ModelProto, rng: random.Random) -> None:
    """Make attributes extreme, of another type, of another length, doubled or unknown."""
    for _ in range(rng.choice((1, 2, 4))):
        node = rng.choice(model.graph.node)
        schema = _schema(node)
        known = list(schema.attributes) if schema else []
        others = ("axis", "alpha", "value") if rng.random() < 0.2 or not known else ()
        name = rng.choice([*known, *(a.name for a in node.attribute), *others])
        typical = _kind(schema.attributes[name]) if schema and name in known else 2
        kind = typical if rng.random() < 0.9 else rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 13, 99))
        if rng.random() < 0.95:
            kept = [a for a in node.attribute if a.name != name]
            del node.attribute[:]
            node.attribute.extend(kept)
        node.attribute.append(attribute(name, kind, rng))


def attribute(name: str, kind: int, rng: random.Random) -> onnx.AttributeProto:
    """An attribute of a kind that is in AttributeProto.AttributeType, or of no kind."""
    made = onnx.AttributeProto(name=name)
    if kind in onnx.AttributeProto.AttributeType.values() and rng.random() < 0.97:
        made.type = onnx.AttributeProto.AttributeType.Name(kind)
    count = rng.choice((0, 1, 2, 2, 2, 3, 4, 4, 4, 8, 3000))
    if kind == 1:
        made.f = rng.choice(FLOATS)
    elif kind == 2:
        made.i = rng.choice(INTS)
    elif kind == 3:
        made.s = rng.choice((*(t.encode() for t in TEXTS), b"\xff\xfe", b"z" * (2 << 20)))
    elif kind == 4:
        made.t.CopyFrom(tensor("t", rng))
    elif kind == 5:
        made.g.node.add(op_type="Relu", input=["image"], output=["inner"])
        made.g.output.add(name="inner")
    elif kind in (6, 7):
        made.floats.extend(rng.choice(FLOATS) for _ in range(count if kind == 6 else 0))
        made.ints.extend(rng.choice(INTS) for _ in range(count if kind == 7 else 0))
    elif kind == 8:
        made.strings.extend(rng.choice(TEXTS).encode() for _ in range(count))
    return made


def tensor(name: str, rng: random.Random, *, sound: bool = False) -> onnx.TensorProto:
    """A small constant with hostile numbers, or, unless sound, of a type that its data is not."""
    kind = rng.choice((1, 1, 6, 7, 7, 7, 9) if sound else (1, 1, 6, 7, 7, 7, 9, 8, 10, 16, 21, 14))
    count = rng.choice((0, 1, 1, 2, 4, 8, 2000))
    made = onnx.TensorProto(
        name=name, data_type=kind, dims=[count] if count != 1 or rng.random() < 0.5 else []
    )
    if not sound and rng.random() < 0.1:
        made.data_type = rng.choice([k for k in _KINDS if k >= 0])
    if kind in (1, 14):
        made.float_data.extend(rng.choice(FLOATS) for _ in range(count * (2 if kind == 14 else 1)))
    elif kind == 7:
        made.int64_data.extend(rng.choice(INTS) for _ in range(count))
    elif kind == 8:
        made.string_data.extend(rng.choice((b"", b"1", b"\xff", b"nan")) for _ in range(count))
    else:
        made.int32_data.extend(rng.choice((0, 1, -1, 255, 70000)) for _ in range(count))
    return made


def operators(model: onnx.ModelProto, rng: random.Random) -> None:
    """Put in operators of any kind, with attributes and numbers of inputs that these may have."""
    graph = model.graph
    for _ in range(rng.choice((1, 1, 2))):
        schema, at = rng.choice(onnx.defs.get_all_schemas()), rng.randrange(len(graph.node) + 1)
        pool = [value.name for value in (*graph.initializer, *graph.input)]
        pool += [name for before in graph.node[:at] for name in before.output] * 2
        name = f"f{rng.randrange(10**6)}"
        for i in range(2):
            graph.initializer.append(tensor(f"{name}c{i}", rng, sound=True))
            pool.append(f"{name}c{i}")
        node = onnx.NodeProto(op_type=schema.name, domain=schema.domain, name=name)
        if rng.random() < 0.05:
            node.domain = rng.choice(("acme", "com.microsoft", "ai.onnx", "ai.onnx.ml", "\n", "local"))
        wrong = rng.random() < 0.05
        least = 0 if wrong else schema.min_input
        node.input.extend(
            rng.choice(pool) for _ in range(rng.randint(least, max(least, min(schema.max_input, 6))))
        )
        made = rng.randint(max(1, schema.min_output), max(1, schema.min_output, min(schema.max_output, 3)))
        node.output.extend(f"{name}o{i}" for i in range(made))
        for spec in schema.attributes.values():
            if spec.required or rng.random() < 0.3:
                node.attribute.append(attribute(spec.name, _kind(spec), rng))
        graph.node.insert(at, node)
        if rng.random() < 0.5 and at + 1 < len(graph.node) and graph.node[at + 1].input:
            graph.node[at + 1].input[0] = f"{name}o0"
        for domain in {node.domain} - {"", "ai.onnx", *(o.domain for o in model.opset_import)}:
            model.opset_import.append(helper.make_opsetid(domain, rng.choice((1, 1, 3, 5))))


def types(model: onnx.ModelProto, rng: random.Random) -> None:
    """Give values other element types, or make them sequences, optionals, maps and sparse tensors."""
    graph = model.graph
    graph.value_info.add(name=rng.choice([n for node in graph.node for n in node.output] or ["x"]))
    value = rng.choice([*graph.input, *graph.output, *graph.value_info, *graph.value_info])
    act = rng.randrange(6)
    if act <= 1:
        value.type.tensor_type.elem_type = rng.choice([k for k in _KINDS if k >= 0])
        value.type.tensor_type.shape.dim.add(dim_value=rng.choice(INTS))
    elif act == 2:
        inner = value.type.sequence_type.elem_type
        for _ in range(rng.choice((1, 2, 20, 60))):
            inner = rng.choice((inner.sequence_type, inner.optional_type)).elem_type
        inner.tensor_type.elem_type = rng.choice((0, 1, 8))
    elif act == 3:
        value.type.map_type.key_type = rng.choice((1, 7, 8))
        value.type.map_type.value_type.tensor_type.elem_type = 1
    elif act == 4:
        value.type.sparse_tensor_type.elem_type = 1
    else:
        value.ClearField("type")


def constants(model: onnx.ModelProto, rng: random.Random) -> None:
    """Put other numbers, other types, other fields and segments into constants."""
    if not model.graph.initializer:
        return
    for _ in range(rng.choice((1, 1, 3))):
        old, act = rng.choice(model.graph.initializer), rng.randrange(6)
        if act <= 2:
            old.CopyFrom(tensor(old.name, rng))
        elif act == 3:
            old.data_type = rng.choice([k for k in _KINDS if k >= 0])
        elif act == 4 and rng.random() < 0.3:
            old.segment.begin = 0
        else:
            filled = tensor("", rng)
            old.int32_data.extend(filled.int32_data or [1])
            _perhaps_clear(old, "raw_data", rng)


def opsets(model: onnx.ModelProto, rng: random.Random) -> None:
    """Import operators of absurd versions and domains."""
    act = rng.randrange(4)
    if act == 0:
        model.opset_import[0].version = rng.choice((*INTS, *range(9, 27)))
    elif act == 1:
        model.opset_import.add(domain=rng.choice(("", "ai.onnx", "acme", *TEXTS)), version=rng.choice(INTS))
        rng.choice(model.graph.node).domain = model.opset_import[-1].domain
    elif act == 2:
        for i in range(3000):
            model.opset_import.add(domain=f"d{i}", version=1)
    else:
        model.ir_version = rng.choice(INTS)


def _kind(spec: onnx.defs.OpSchema.Attribute) -> int:
    return int(spec.type.value)  # type: ignore[attr-defined]  # onnx's stubs leave it out


def _schema(node: onnx.NodeProto) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(node.op_type, 18, node.domain)
    except Exception:  # noqa: BLE001  # a mutation before this one made the node unknown
        return None


MUTATIONS: Mapping[str, Callable[[onnx.ModelProto, random.Random], None]] = {
    "any field": fields,
    "dimensions": dims,
    "names": names,
    "edges": edges,
    "attributes": attributes,
    "operators": operators,
    "types": types,
    "constants": constants,
    "opsets": opsets,
}
"""Each class of mutation by its name."""
