"""Write the tables that pages quote from TOML files: ``uv run python docs/generate_values.py``.

A table of targets or recipes stands between ``<!-- values: NAME -->`` and ``<!-- end of values -->``.
``NAME`` is ``recipes``, ``targets`` or ``target TARGET``. A test compares the pages with what is made here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mosaic_deploy import QuantRecipe, TargetSpec, load_spec, spec_names

DOCS = Path(__file__).parent
PAGES = (
    DOCS / "reference" / "recipe.md",
    DOCS / "reference" / "target.md",
    *sorted((DOCS / "how-to" / "targets").glob("*.md")),
)
_BLOCK = re.compile(
    r"(?P<head><!-- values: (?P<name>[\w -]+) -->\n).*?(?P<tail><!-- end of values -->)", re.DOTALL
)


def filled(text: str) -> str:
    """The page with its tables made anew."""
    return _BLOCK.sub(lambda found: f"{found['head']}{_table(found['name'])}{found['tail']}", text)


def blocks(text: str) -> list[str]:
    """Names of the page's tables."""
    return [found["name"] for found in _BLOCK.finditer(text)]


def _table(name: str) -> str:
    """The rows of a table of that name."""
    if name == "recipes":
        return _recipes()
    if name == "targets":
        return _targets()
    return _target(load_spec(TargetSpec, name.removeprefix("target ")))


def _recipes() -> str:
    recipes = [load_spec(QuantRecipe, name) for name in spec_names(QuantRecipe)]
    head = ("recipe", "weights", "activations", "calibration", "largest drop", "without labels")
    return _rows(head, [_recipe(recipe) for recipe in recipes])


def _recipe(recipe: QuantRecipe) -> tuple[str, ...]:
    how, drop = recipe.calibration, recipe.tolerance
    unlabelled = drop if recipe.agreement_tolerance is None else recipe.agreement_tolerance
    method = f"`{how.method}` {how.percentile}" if how.method == "percentile" else f"`{how.method}`"
    return (
        f"`{recipe.name}`",
        _format(recipe.weights),
        _format(recipe.activations),
        "none" if recipe.precision == "float" else f"{method}, {how.samples} images",
        "the target's" if drop is None else f"{drop}",
        "the target's" if unlabelled is None else f"{unlabelled}",
    )


def _format(kind: object) -> str:
    """An integer format in words, or the float type."""
    if isinstance(kind, str):
        return kind
    bits, signed, symmetric, per_channel = (
        getattr(kind, name) for name in ("bits", "signed", "symmetric", "per_channel")
    )
    middle = "symmetric" if symmetric else "asymmetric"
    return f"{'int' if signed else 'uint'}{bits}, {middle}, per {'channel' if per_channel else 'tensor'}"


def _targets() -> str:
    targets = [load_spec(TargetSpec, name) for name in spec_names(TargetSpec)]
    head = ("target", "backend", "recipes", "output", "largest drop", "layout", "op table")
    pages = "../how-to/targets/"
    rows = [
        (f"[`{target.name}`]({pages}{target.name}.md)", f"`{target.backend}`", *_facts(target, "op-tables/"))
        for target in targets
    ]
    return _rows(head, rows)


def _target(target: TargetSpec) -> str:
    head = ("recipes", "output", "largest drop", "layout", "op table")
    return _rows(head, [_facts(target, "../../reference/op-tables/")])


def _facts(target: TargetSpec, tables: str) -> tuple[str, ...]:
    own = {name: load_spec(QuantRecipe, name).tolerance for name in target.recipes}
    drops = [f"{target.tolerance}"] if None in own.values() else []
    for drop in sorted({value for value in own.values() if value is not None}):
        named = [f"`{name}`" for name, value in own.items() if value == drop]
        drops.append(f"{drop}" if len(named) == len(own) else f"{drop} with {', '.join(named)}")
    return (
        ", ".join(f"`{name}`" for name in target.recipes),
        f"`{target.output}`",
        "; ".join(drops),
        f"`{target.layout}`" if target.layout else "the model's",
        f"[`{target.ops}`]({tables}{target.ops}.md)" if target.ops else "none",
    )


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]]) + "\n"


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
