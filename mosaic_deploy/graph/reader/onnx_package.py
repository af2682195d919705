"""The onnx package without what it imports for downloads, text formats and composition.

``import onnx`` brings ``urllib``, ``ssl``, ``tarfile`` and protobuf's JSON, which take as long as reading a
network does. Whatever is named here is loaded when somebody first uses it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import final

_LATER = frozenset(
    f"onnx.{name}"
    for name in (
        "checker",
        "compose",
        "gen_proto",
        "helper",
        "hub",
        "parser",
        "printer",
        "serialization",
        "shape_inference",
        "utils",
        "version_converter",
    )
)


def require() -> None:
    """Import onnx, if nobody has done so yet."""
    if "onnx" in sys.modules:
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module("onnx")
    finally:
        sys.meta_path.remove(finder)


@final
class _Finder(MetaPathFinder):
    """Finds the named modules as others do, and has them load themselves at their first use."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As ``importlib`` has it."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname in _LATER else None
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec
