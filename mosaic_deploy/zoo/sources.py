"""The files of the zoo that a module's behaviour depends on, and their digests; nothing is imported."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLLOWED = ("mosaic_deploy.zoo.", "mosaic_deploy.graph.origin_names")
"""What shapes an export, without packages' ``__init__``: a new network in the registry changes no other."""


def sources(*modules: str) -> dict[str, str]:
    """Follow the imports of modules, also those inside functions, as far as they stay among the followed.

    Returns:
        Path below the package -> sha256 of the file, sorted.
    """
    found: dict[str, str] = {}
    left = list(modules)
    while left:
        path = _file(left.pop())
        if path is None:
            continue
        name = path.relative_to(_PACKAGE).as_posix()
        if name not in found:
            data = path.read_bytes()
            found[name] = hashlib.sha256(data).hexdigest()
            left += _imports(ast.parse(data))
    return dict(sorted(found.items()))


def _file(module: str) -> Path | None:
    """The module's file, if it is one that is followed."""
    if not module.startswith(_FOLLOWED):
        return None
    path = _PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return path if path.is_file() else None


def _imports(tree: ast.Module) -> Iterator[str]:
    """All that may be modules in its import statements."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
