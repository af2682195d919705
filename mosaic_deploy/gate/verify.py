"""``check --verify``: the target's own compiler is asked, and what it refuses is narrowed down.

Compilers often refuse a network without naming a node. So what is refused is narrowed down (``narrow``), and
saved as a small ``.onnx``: a reproducer to attach to a report.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.fleet import try_all
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.backends.oracle.registry import COMPILERS, load_compiler
from mosaic_deploy.backends.oracle.scratch import scratch_folder
from mosaic_deploy.errors import ToolError
from mosaic_deploy.gate.ask.reproducer import keep
from mosaic_deploy.gate.judging import decisive
from mosaic_deploy.gate.narrow import Limit, Part, Search
from mosaic_deploy.gate.report import Reproducer, Verified
from mosaic_deploy.gate.verdict import GateTarget
from mosaic_deploy.graph.facts import nodes_with_bodies
from mosaic_deploy.specs.precision import Precision
from mosaic_deploy.specs.toolchain import require_toolchain
from mosaic_deploy.workers.progress import StageProgress

if TYPE_CHECKING:
    import onnx


SECONDS = 600.0
"""Longest that a whole network may take to compile and run."""

LIMITS: Mapping[Precision, float] = {"float": 0.05, "w8a8": 0.1, "w8a16": 0.05}
"""Largest difference of a whole network to its reference, as a share of its range (of class ids, the share
that differs), for which it counts as the same: floats may be computed in float16. The reference of quantised
ones is the same integers on other kernels, where the oracle has them."""


def verify(
    model: onnx.ModelProto, subject: GateTarget, *, stem: str, save: Path, on_progress: StageProgress
) -> Verified:
    """Compile a model for a target and run it once on random pixels.

    Args:
        model: as ``read_model`` returned it.
        subject: the target, with its op table.
        stem: begins the names of reproducers.
        save: folder for them, made when there is one.
        on_progress: progress.

    Raises:
        UsageError: a reproducer cannot be written.
        ToolError: the compiler is not installed, or something fails that says nothing of the model.
    """
    assert subject.table is not None
    name = subject.table.name
    if name not in COMPILERS:
        return Verified(subject.name, "", "no compiler", note=subject.table.tool)
    compiler = load_compiler(name)
    if missing := compiler.missing():
        raise ToolError(f"{subject.name}: its compiler is missing: {missing}")
    require_toolchain(compiler.TOOLCHAIN, on_progress)
    precision = decisive(nodes_with_bodies(model), subject)
    with scratch_folder("mosaic-verify-") as scratch:

        def try_some(cases: Sequence[Case]) -> Iterator[tuple[Case, tuple[CaseOutcome, ...]]]:
            work = Path(tempfile.mkdtemp(dir=scratch))
            return try_all(name, cases, jobs=1, everywhere=False, folder=work, seconds=SECONDS)

        def told(share: float, note: str) -> None:
            on_progress(f"verify {subject.name}", share, note)

        limit = Limit(LIMITS[precision], fallback=subject.table.fallback is True)
        found = Search(model, precision, try_some, scratch, told, limit).run()
        tool = f"{subject.table.tool} {compiler.version()}"
        if not found.refused:
            note = f"largest difference {found.difference:.2g} of the range" if found.difference else ""
            return Verified(subject.name, tool, "compiles", note=note)
        culprits = [_save(part, stem, subject.name, number, save) for number, part in enumerate(found.parts)]
    said: Literal["differs", "refused"] = "differs" if found.differs else "refused"
    return Verified(subject.name, tool, said, note=found.refused, culprits=tuple(culprits))


def _save(part: Part, stem: str, target: str, number: int, folder: Path) -> Reproducer:
    ops = list(dict.fromkeys(node.op_type for node in part.model.graph.node))
    return Reproducer(
        keep(part.model, folder, f"{stem}-{target}-{number + 1}"), part.nodes, tuple(ops), part.error
    )
