"""Op tables: what a compiler takes, rule by rule, with the evidence.

A table's file is read by ``table_file``. A rule that says ``runs`` accepts only what it names: types,
ranks, versions of the operator, attribute values; an attribute that it does not name must have the
operator's default. A rule that refuses holds for whatever it does not name. A refusal that applies decides,
``wrong`` before the others; else the rules that accept must cover every device; else nothing is known.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS
from mosaic_deploy.graph.attributes import Attribute
from mosaic_deploy.specs.fields import Spec
from mosaic_deploy.specs.precision import DType, Integers, Precision
from mosaic_deploy.specs.toml import nearest

Outcome = Literal["runs", "wrong", "falls-back", "fails-to-compile", "undocumented"]
"""``wrong``: compiles and runs, with other numbers than ONNX says. ``falls-back``: the compiler leaves the
node to another runtime. ``fails-to-compile``: it takes the node and then fails, or the run does."""


def _constraint(name: str) -> str:
    if name not in CONSTRAINTS:
        raise ValueError(f"no constraint '{name}'{nearest(name, CONSTRAINTS)}")
    return name


ConstraintName = Annotated[str, AfterValidator(_constraint)]
RuleId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,79}$")]


class Range(Spec):
    """Numbers from ``min`` to ``max``, both included; an open end has no bound."""

    min: float | None = None
    max: float | None = None

    def holds(self, value: float) -> bool:
        """Tell whether a number lies inside; at the ends as exactly as float32 keeps them."""
        above = self.min is None or value >= self.min or _near(value, self.min)
        return above and (self.max is None or value <= self.max or _near(value, self.max))


Limit = Range | Literal["any"] | tuple[int | float | str, ...]
"""Of one attribute: a range, ``"any"``, or the values it may have; for lists, of each element."""


class Evidence(Spec):
    """What was tried."""

    cases: Annotated[int, Field(ge=0)]
    """Models compiled and run; 0 where the rule rests on documentation."""
    devices: tuple[str, ...] = ()
    """The table's devices that it was tried on; none named means all."""
    error: str = ""
    """What the tool said, shortened."""
    source: str = ""
    """Documentation, where nothing was tried."""


class OpRule(Spec):
    """One thing that is known of one operator."""

    id: RuleId
    op: str
    """The operator's type; ``*`` for every operator."""
    domain: str = ""
    """Empty for ONNX's own operators."""
    versions: tuple[int, ...] = ()
    """Since-versions of the operator."""
    dtypes: tuple[DType, ...] = ()
    """Types as stored, of the node's first computed input."""
    quantized_dtypes: tuple[Integers, ...] = ()
    """The same input's integers where it is quantised."""
    weights: tuple[Integers, ...] = ()
    """Integers that a quantised second input may have; none named means any."""
    ranks: tuple[int, ...] = ()
    """Of the same first input."""
    attributes: dict[str, Limit] = Field(default_factory=dict)
    constraints: tuple[ConstraintName, ...] = ()
    """All hold where the rule applies."""
    breaks: tuple[ConstraintName, ...] = ()
    """All are broken where the rule applies; only for refusals."""
    verdict: Outcome
    evidence: Evidence
    fix: str = ""
    """What to do instead."""

    @property
    def accepts(self) -> bool:
        """Whether this is a rule that lets nodes pass."""
        return self.verdict == "runs"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.accepts and not (self.versions and (self.dtypes or self.quantized_dtypes) and self.ranks):
            raise ValueError(
                f"rule '{self.id}' runs, so it must name versions, ranks, and dtypes or quantized_dtypes"
            )
        if self.accepts and (self.breaks or self.op == "*"):
            raise ValueError(
                f"rule '{self.id}' runs: only a refusal has 'breaks' or holds for every operator"
            )
        if self.verdict != "runs" and not self.fix:
            raise ValueError(f"rule '{self.id}' refuses, so its 'fix' must say what to do instead")
        return self


class Activations(Spec):
    """What recipes make of float tensors, by precision."""

    w8a8: Integers = "uint8"
    w8a16: Integers = "uint16"


class Fusion(Spec):
    """An operator that the compiler computes within the one before it, whatever rules say of it alone."""

    op: str
    after: Annotated[tuple[str, ...], Field(min_length=1)]
    """Operators of which it must be the only reader."""
    dtypes: tuple[DType, ...] = ()
    """Of its input, where that is not quantised."""
    quantized_dtypes: tuple[Integers, ...] = ()
    """Of its input, where it is."""
    constraints: tuple[ConstraintName, ...] = ()
    """All hold where it is fused."""
    evidence: Evidence


class TableHead(Spec):
    """What an op table says of its compiler."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    summary: str
    tool: str
    version: str
    """The tool's, by which all evidence was made."""
    devices: Annotated[tuple[str, ...], Field(min_length=1)]
    """Everything that the tool compiles for and that was tried."""
    fallback: bool | tuple[str, ...]
    """Whether the deployed network may run refused nodes on another processor; or the operators that may."""
    folds_constants: bool
    """Whether nodes that compute constants are gone before the compiler looks."""
    folds_input_cast: Literal["never", "quantised", "always"] = "never"
    """When builds take away a Cast from uint8 pixels at the input: quantised, the pixels are the integers."""
    integers: Activations = Activations()
    fuses: tuple[Fusion, ...] = Field(default=(), alias="fusion")


class OpTable(TableHead):
    """What one version of one compiler does with ONNX operators."""

    rules: tuple[OpRule, ...] = Field(alias="rule")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        seen: set[str] = set()
        for rule in self.rules:
            if rule.id in seen:
                raise ValueError(f"two rules are called '{rule.id}'")
            seen.add(rule.id)
            for device in rule.evidence.devices:
                if device not in self.devices:
                    raise ValueError(f"rule '{rule.id}': no device '{device}'{nearest(device, self.devices)}")
        return self

    def made_of(self, precision: Precision) -> str:
        """Say which integers float tensors become; empty where they stay floats."""
        return {"float": "", "w8a8": self.integers.w8a8, "w8a16": self.integers.w8a16}[precision]

    def may_fall_back(self, op: str) -> bool:
        """Tell whether the deployed network may run an operator on another processor."""
        return self.fallback if isinstance(self.fallback, bool) else op in self.fallback

    @property
    def constraint_names(self) -> tuple[str, ...]:
        """Constraints that some rule or fusion names, in the order in which they are kept."""
        named = {name for rule in self.rules for name in (*rule.constraints, *rule.breaks)}
        named.update(name for fusion in self.fuses for name in fusion.constraints)
        return tuple(name for name in CONSTRAINTS if name in named)

    @property
    def ops(self) -> tuple[str, ...]:
        """Operators that some rule speaks of, sorted; those of other domains with their domain."""
        found = {f"{r.domain}.{r.op}".lstrip(".") for r in self.rules if r.op != "*"}
        return tuple(sorted(found))


def allows(limit: Limit, value: Attribute) -> bool:
    """Tell whether an attribute's value, or each element of it, keeps to its limit."""
    if limit == "any":
        return True
    elements = value if isinstance(value, tuple) else (value,)
    return all(_allows_one(limit, element) for element in elements)


def _allows_one(limit: Limit, element: int | float | str) -> bool:
    if isinstance(limit, Range):
        return not isinstance(element, str) and limit.holds(element)
    return any(_equal(known, element) for known in limit)


def _equal(known: int | float | str, element: int | float | str) -> bool:
    if isinstance(known, str) or isinstance(element, str):
        return known == element
    return _near(known, element)


def _near(known: float, value: float) -> bool:
    return abs(known - value) <= 1e-6 * abs(known)
