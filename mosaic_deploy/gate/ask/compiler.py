"""The compiler behind an op table, as somebody to ask: is it there, who is it, what does it say of parts."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.fleet import try_all
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.backends.oracle.registry import COMPILERS, load_compiler
from mosaic_deploy.backends.oracle.scratch import scratch_folder
from mosaic_deploy.graph.facts import inputs_of
from mosaic_deploy.specs.precision import Precision
from mosaic_deploy.specs.toolchain import is_here, made_python, toolchain_record

if TYPE_CHECKING:
    import onnx

_SHARED = ("backends/oracle", "quantize")
"""Code beside a backend's own that decides what an outcome is."""
REFERENCE = "ort"
"""The toolchain that computes what reaches a part."""

Values = Mapping[str, NDArray[Any]]


def toolchains(table: str) -> tuple[str, ...]:
    """What must be installed to ask; empty for a table whose compiler cannot be run here."""
    return (load_compiler(table).TOOLCHAIN, REFERENCE) if table in COMPILERS else ()


def not_ready(table: str) -> str:
    """Why nothing can be asked without installing something, or nothing."""
    names = toolchains(table)
    if not names:
        return "its compiler cannot be run here"
    lacking = [name for name in dict.fromkeys(names) if not is_here(name) and made_python(name) is None]
    return f"toolchain {' and '.join(lacking)} not installed: --unknown ask installs" if lacking else ""


@cache
def maker(table: str) -> str:
    """Digest of the toolchain and of the code that drives it, in hex."""
    total = hashlib.sha256(toolchain_record(load_compiler(table).TOOLCHAIN)["digest"].encode())
    root = Path(__file__).resolve().parents[2]  # the package
    own = Path(*COMPILERS[table].split(".")[1:3])
    for folder in (own, *_SHARED):
        for path in sorted((root / folder).rglob("*.py")):
            total.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return total.hexdigest()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a model to try."""

    name: str
    model: onnx.ModelProto
    precision: Precision

    def case(self, values: Values) -> Case:
        """With what reaches it."""
        feeds = {tensor.name: values[tensor.name] for tensor in inputs_of(self.model)}
        return Case(self.name, "", "", "chain", self.model, feeds, self.precision)


def try_parts(
    table: str,
    cases: Sequence[Case],
    *,
    jobs: int,
    until: float,
    heard: Callable[[Case, tuple[CaseOutcome, ...]], None],
) -> bool:
    """Try cases until a moment of ``time.monotonic``; tells whether all were done.

    Raises ``ToolError`` where a child failed in a way that says nothing of a case; its log stays.
    """
    with scratch_folder("mosaic-ask-") as folder:
        batch = max(1, min(20, -(-len(cases) // jobs)))
        tries = try_all(table, cases, jobs=jobs, everywhere=False, folder=folder / "work", batch=batch)
        done = 0
        for case, outcomes in tries:
            heard(case, outcomes)
            done += 1
            if time.monotonic() > until and done < len(cases):
                tries.close()  # type: ignore[attr-defined]  # a generator: ends its children
                break
    return done == len(cases)
