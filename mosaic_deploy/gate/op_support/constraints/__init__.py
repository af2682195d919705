"""What rules may ask of a node beyond types, ranks and attributes: named predicates, one sentence each.

A predicate returns None where it holds, else the breach: what was found. Where a shape or a value is not
known it cannot tell, and says so with ``certain=False``: then neither a rule that accepts nor one that
refuses applies.

A new one is a function in the file of its subject, and a test of its name:

    @constraint("No axis is sliced backwards.")
    def steps_are_positive(node: Node) -> Breach | None:
        ...
"""

from __future__ import annotations

from collections.abc import Mapping

from mosaic_deploy.gate.op_support.constraints import _axes, _inputs, _quantized, _shapes, _values, _windows
from mosaic_deploy.gate.op_support.constraints._constraint import Breach, Constraint

__all__ = ["CONSTRAINTS", "Breach", "Constraint"]

CONSTRAINTS: Mapping[str, Constraint] = {
    found.name: found
    for subject in (_shapes, _inputs, _windows, _axes, _values, _quantized)
    for found in vars(subject).values()
    if isinstance(found, Constraint)
}
"""Every constraint by its name, subject by subject."""
