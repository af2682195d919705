"""What to do instead of what a rule refuses, from what the same table accepts.

Advice keeps what the network computes: it names a pass, an option, another way to write the node, or at worst
the part that is left to the application. Another value of an attribute is another network, and no advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mosaic_deploy.gate.op_support.alternatives import alternative
from mosaic_deploy.gate.op_support.tables import Limit, OpRule, Range
from mosaic_deploy.graph.attributes import schema_of

ELSE = "end the network in front of it (--output logits), and leave the rest to the application"
"""Where nothing computes the same."""
_STILL = {"dilations": 1, "output_padding": 0, "pads": 0, "strides": 1}
"""What a window has that states nothing."""
_IN_FRONT = "pad with a Pad in front"
_RANKS_ASKED = re.compile(r"^(?:flatten to|merge dimensions with Reshape to) (\d+)(?: dimensions)? or fewer$")
_MET = {
    "axis_is_last": "Transpose so that the axis is the last",
    "batches_are_equal": "Expand both matrices to the same sides",
    "first_input_is_computed": "put the constant second",
    "inputs_are_matrices": "Reshape both inputs to matrices",
    "inputs_share_a_rank": "Reshape all inputs to the same number of dimensions",
    "inputs_share_a_shape": "Expand all inputs to the same shape",
    "only_last_axis_is_reduced": "Transpose so that the axis is the last",
    "pads_are_symmetric": _IN_FRONT,
    "padding_is_that_of_tflite": _IN_FRONT,
    "rank_is_five_at_most": "merge dimensions with Reshape to 5 or fewer",
    "ranks_are_four_at_most": "merge dimensions with Reshape to 4 or fewer",
    "second_input_is_a_matrix": "Reshape the second input to a matrix",
    "windows_are_not_padded": _IN_FRONT,
}
"""How constraints are met while the network computes the same; others are another network."""


def advice(rule: OpRule, known: Iterable[OpRule]) -> str:
    """Say in a few words how to come to what a table accepts; ``rule`` refuses.

    The nearest rule of the same operator that runs; else other operators that the table takes.

    Args:
        rule: the refusal.
        known: the table's rules.

    Returns:
        ``ELSE`` where neither is known.
    """
    running = [other for other in known if other.accepts]
    near = [other for other in running if _is_near(rule, other)]
    accepted = {other.op for other in running if not other.domain}
    # Of ways that are equally short, the one in float32: networks have that.
    by_use = sorted(near, key=lambda other: "float32" not in other.dtypes)
    found = sorted((steps for other in by_use if (steps := _steps(rule, other))), key=len)
    if found:
        return ", and ".join(found[0])
    return alternative(rule.op, tuple(rule.attributes), accepted) or ELSE


def fitting(rule: OpRule, known: Iterable[OpRule], *, rank: int | None) -> str:
    """What a refusal says to do about a node of that rank; where it asks for what the node has, ``advice``.

    Tables of several devices hold such texts: the same words for what one of them does not take in any rank.
    """
    asked = _RANKS_ASKED.search(rule.fix)
    if asked is None or rank is None or rank > int(asked[1]):
        return rule.fix
    return advice(rule, known)


def _is_near(rule: OpRule, other: OpRule) -> bool:
    mine, its = set(rule.evidence.devices), set(other.evidence.devices)
    return (rule.op, rule.domain) == (other.op, other.domain) and bool(not mine or not its or mine & its)


def _steps(rule: OpRule, other: OpRule) -> list[str]:
    """What keeps a refused node from a rule that runs; empty where that is what it computes, or nothing."""
    found = []
    kinds = {(t, False) for t in rule.dtypes} | {(t, True) for t in rule.quantized_dtypes}
    if kinds and not kinds & (
        {(t, False) for t in other.dtypes} | {(t, True) for t in other.quantized_dtypes}
    ):
        found.append(_types(rule, other))
    if rule.ranks and not set(rule.ranks) & set(other.ranks):
        found.append(_ranks(other.ranks))
    if rule.versions and not set(rule.versions) & set(other.versions):
        found.append(f"export it with version {_either(other.versions)} of the operator")
    for name, limit in rule.attributes.items():
        allowed = other.attributes.get(name)
        if allowed is None and limit == (_STILL.get(name),):
            continue
        if allowed is None:
            default = _default(other, name)
            if default is None:
                return []
            if not _meet(limit, (default,)):
                return []
        elif allowed != "any" and not _meet(limit, allowed):
            return []
    wanted = [name for name in rule.breaks if name in other.constraints]
    if not wanted and not found:
        wanted = [name for name in other.constraints if name not in rule.constraints][:1]
    if any(name not in _MET for name in wanted):
        return []
    return [*found, *(_MET[name] for name in wanted)]


def _default(rule: OpRule, name: str) -> int | float | str | None:
    """What a rule means by an attribute that it does not name; None where that is no single value."""
    if name in _STILL:
        return _STILL[name]
    _, defaults = schema_of(rule.op, rule.domain, max(rule.versions))
    value = defaults.get(name)
    return None if isinstance(value, tuple) else value


def _types(rule: OpRule, other: OpRule) -> str:
    if rule.quantized_dtypes and not rule.dtypes and other.dtypes:
        return f"keep it in {_either(other.dtypes)}"
    if other.quantized_dtypes and not other.dtypes:
        return f"quantise it to {_either(other.quantized_dtypes)}"
    return f"use {_either([*other.dtypes, *(f'quantised {grid}' for grid in other.quantized_dtypes)])}"


def _ranks(ranks: Sequence[int]) -> str:
    if len(ranks) == 1:
        return f"Reshape it to rank {ranks[0]}"
    if len(ranks) > 2 and list(ranks) == list(range(ranks[0], ranks[-1] + 1)):
        return f"Reshape it to ranks {ranks[0]} to {ranks[-1]}"
    return f"Reshape it to rank {_either(ranks)}"


def _either(values: Sequence[object]) -> str:
    words = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _meet(a: Limit, b: Limit) -> bool:
    """Whether some value keeps to both limits."""
    if a == "any" or b == "any":
        return True
    if isinstance(a, Range) and isinstance(b, Range):
        return _low(a) <= _high(b) and _low(b) <= _high(a)
    if isinstance(b, Range):
        return _meet(b, a)
    if isinstance(a, Range):
        return any(not isinstance(value, str) and a.holds(value) for value in b)
    return bool({*a} & {*b})


def _low(limit: Range) -> float:
    return -float("inf") if limit.min is None else limit.min


def _high(limit: Range) -> float:
    return float("inf") if limit.max is None else limit.max
