"""Einsum of one or two tensors as Transpose, Reshape and MatMul.

bhid,bhjd->bhij    becomes    Transpose the second, MatMul
bchw,bkc->bkhw     becomes    Reshape (b,c,h*w), MatMul, Reshape (b,k,h,w)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Shape, Site


@dataclass(frozen=True, slots=True)
class _Plan:
    """The letters of a product of two tensors, by what happens to them."""

    batch: str
    """In both and in the result."""
    left: str
    right: str
    """In one of them and in the result."""
    summed: str
    """In both and not in the result."""
    result: str


def _rewrite(site: Site) -> bool:
    equation = site.attr_str("equation", "").replace(" ", "")
    operands, arrow, result = equation.partition("->")
    terms = operands.split(",")
    shapes = [site.shape(index) for index in range(len(site.node.input))]
    if not arrow or len(terms) != len(shapes) or any(len(set(t)) != len(t) for t in (*terms, result)):
        return False
    if not operands.replace(",", "").isalpha():
        return False
    sides: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        if shape is None or len(shape) != len(term):
            return False
        for letter, side in zip(term, shape, strict=True):
            if sides.setdefault(letter, side) != side:
                return False
    if len(terms) == 1:
        return _one(site, terms[0], result)
    return len(terms) == 2 and _two(site, (terms[0], terms[1]), result, sides)


def _one(site: Site, term: str, result: str) -> bool:
    summed = [index for index, letter in enumerate(term) if letter not in result]
    x = site.reduce("ReduceSum", site.x, summed, keep=0) if summed else site.x
    left = [letter for letter in term if letter in result]
    return site.replace_with(site.transpose(x, [left.index(letter) for letter in result]))


def _two(site: Site, terms: tuple[str, str], result: str, sides: dict[str, int]) -> bool:
    first, second = terms
    both = [letter for letter in first if letter in second]
    plan = _Plan(
        batch="".join(letter for letter in result if letter in both),
        left="".join(letter for letter in result if letter in first and letter not in second),
        right="".join(letter for letter in result if letter in second and letter not in first),
        summed="".join(letter for letter in both if letter not in result),
        result=result,
    )
    if not plan.summed or any(letter not in result + "".join(both) for letter in first + second):
        return False
    flip = _swapped(plan)  # so that the result comes out in order
    if flip:
        plan, first, second = _Plan(plan.batch, plan.right, plan.left, plan.summed, result), second, first
    names = (site.input(1), site.input(0)) if flip else (site.input(0), site.input(1))
    left = _arranged(site, names[0], first, (plan.batch, plan.left, plan.summed), sides)
    right = _arranged(site, names[1], second, (plan.batch, plan.summed, plan.right), sides)
    product = site.op("MatMul", left, right)
    letters = plan.batch + plan.left + plan.right
    y = product
    if letters and not _plain(plan):
        y = site.op("Reshape", product, site.sizes([sides[letter] for letter in letters]))
    return site.replace_with(site.transpose(y, [letters.index(letter) for letter in result]))


def _swapped(plan: _Plan) -> bool:
    """Whether the result's letters are in order only with the second tensor first."""
    return (
        plan.result == plan.batch + plan.right + plan.left
        and plan.result != plan.batch + plan.left + plan.right
    )


def _plain(plan: _Plan) -> bool:
    """Whether the product has the result's axes as it is."""
    return len(plan.left) == len(plan.right) == len(plan.summed) == 1 and len(plan.batch) <= 2


def _arranged(site: Site, name: str, term: str, groups: tuple[str, str, str], sides: dict[str, int]) -> str:
    """Draft the tensor with its axes in groups: batch, rows, columns."""
    order = "".join(groups)
    moved = site.transpose(name, [term.index(letter) for letter in order])
    if len(groups[1]) == len(groups[2]) == 1 and len(groups[0]) <= 2:
        return moved
    whole = all(len(group) == 1 for group in groups[1:])
    batch = [sides[letter] for letter in groups[0]]
    if len(batch) > 2 or not whole:
        batch = [math.prod(batch)] if batch else []
    shape: Shape = (*batch, *(math.prod(sides[letter] for letter in group) for group in groups[1:]))
    return site.op("Reshape", moved, site.sizes(shape))


EINSUM = Pass(
    name="einsum",
    summary="Einsum -> Transpose, Reshape, MatMul",
    anchors=("Einsum",),
    rewrite=_rewrite,
)
