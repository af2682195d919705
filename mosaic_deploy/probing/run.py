"""From a person's request to a probe's report: cases are drawn, tried, kept, and held against the table."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mosaic_deploy.backends.oracle import registry as oracles
from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.fleet import Tried, try_all
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.backends.oracle.registry import Compiler, load_compiler
from mosaic_deploy.errors import SpecError, ToolError, UsageError
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.gate.op_support.tables import OpRule, OpTable
from mosaic_deploy.probing.agreement import WRONG, Agreement, classify
from mosaic_deploy.probing.evidence import evidence_path, read_evidence, with_new, write_evidence
from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.forms import FORMS
from mosaic_deploy.probing.grid import grid_cases
from mosaic_deploy.probing.random_cases import random_cases
from mosaic_deploy.probing.record import Record
from mosaic_deploy.probing.replay import cases_of, find_rules, lines_of, replayed, untold
from mosaic_deploy.probing.report import ProbeReport, Use
from mosaic_deploy.probing.synthesis import make_table
from mosaic_deploy.probing.table_text import table_text
from mosaic_deploy.specs.registry import load_spec, spec_names
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.specs.toml import nearest
from mosaic_deploy.specs.toolchain import toolchain_python
from mosaic_deploy.workers.progress import OnProgress


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What is asked."""

    target: str
    """A target's name, or an op table's."""
    use: Use = "make"
    ops: tuple[str, ...] = ()
    """Operators to try; by default all that there are forms of, and to ``verify`` those of the table."""
    jobs: int | None = None
    """Children at a time; by default as many as there are cores."""
    count: int = 0
    """Random cases: all that ``random`` tries; ``make`` tries them beside the grid."""
    seed: int = 0
    rules: tuple[str, ...] = ()
    """Ids of rules: only the cases that they rest on are tried, and each is told."""
    evidence: Path | None = None
    """File that the outcomes are kept in for ``replay``, beside those of other cases that are there."""
    record: Path | None = None
    """File that outcomes are kept in; those that are there are not tried again."""
    save: Path | None = None
    """Folder for the cases on which table and tool disagree."""


def probe(request: ProbeRequest, on_progress: OnProgress) -> ProbeReport:
    """Draw cases, try them on the real tool, and make or judge the table.

    Raises:
        UsageError: an unknown target or operator, a target whose compiler cannot be run, a record of
            something else, some operators only for a table of another version of the tool; no evidence
            to replay.
        ToolError: the compiler is not installed, or a child failed in a way that says nothing of a case.
    """
    begun = time.monotonic()
    name = table_of(request.target)
    compiler, table = load_compiler(name), load_table(name)
    rules = find_rules(request.rules, table)
    forms = _forms(request, table, rules)
    kept = read_evidence(evidence_path(name)) if request.use == "replay" else None
    if kept is None:
        toolchain_python(compiler.TOOLCHAIN, on_progress=on_progress)
    version = _version(name, compiler) if kept is None else kept.version
    if request.use == "make":
        _require_whole(request, table, forms, version)
    cases = cases_of(rules, _cases(request, compiler, forms), table)
    tried = _try(request, name, version, cases, on_progress) if kept is None else replayed(cases, kept)
    notes = (*_untried(request, table, forms), *lines_of(rules, tried, table), *untold(cases, tried))
    judged, text = table, ""
    if request.use == "make":
        made = make_table(table, tried, version=version)
        judged, notes, text = made.table, (*notes, *made.notes), _text(made.table)
    weighed = (classify(case, outcomes, judged) for case, outcomes in tried)
    agreement = Agreement(table.name, f"{table.tool} {version}", tuple(weighed))
    if request.save is not None:
        _save(request.save, agreement, cases)
    return ProbeReport(
        use=request.use,
        table=table.name,
        tool=table.tool,
        version=version,
        evidence=table.version,
        seed=request.seed if request.count else None,
        seconds=time.monotonic() - begun,
        agreement=agreement,
        text=text,
        notes=notes,
    )


def table_of(target: str) -> str:
    """The op table of a target, or of that name; raises ``UsageError`` where its compiler cannot be run."""
    tables = oracles.COMPILERS
    if target in tables:
        return target
    targets = spec_names(TargetSpec)
    if target not in targets and not target.endswith(".toml"):
        known = sorted({*targets, *tables})
        raise SpecError(f"no target or table '{target}'{nearest(target, known)}; known: {', '.join(known)}")
    ops = load_spec(TargetSpec, target).ops
    if ops is None:
        raise UsageError(
            f"target '{target}' names no op table; tables that can be probed: {', '.join(tables)}"
        )
    if ops not in tables:
        raise UsageError(
            f"target '{target}': the compiler behind its op table '{ops}' cannot be run: "
            "the table rests on documentation"
        )
    return ops


def _version(name: str, compiler: Compiler) -> str:
    """The compiler's; raises ``ToolError`` where there is none."""
    if missing := compiler.missing():
        raise ToolError(f"{name}: its tool is missing: {missing}")
    return compiler.version()


def _forms(request: ProbeRequest, table: OpTable, rules: Sequence[OpRule]) -> Mapping[str, tuple[Form, ...]]:
    for op in request.ops:
        if op not in FORMS:
            raise UsageError(f"--op {op}: no test form makes it{nearest(op, FORMS)}")
    named = request.ops or tuple(rule.op for rule in rules if rule.op != "*")
    wanted = named or (table.ops if request.use in ("verify", "replay") else FORMS)
    return {op: forms for op, forms in FORMS.items() if op in wanted}


def _require_whole(
    request: ProbeRequest, table: OpTable, forms: Mapping[str, tuple[Form, ...]], version: str
) -> None:
    """A table's evidence is all of one version, so some operators alone cannot be made by another."""
    others = [op for op in table.ops if op not in forms and op in FORMS]
    if request.ops and others and version != table.version:
        raise UsageError(
            f"--op: the table is of {table.tool} {table.version}, and {version} is here: make all of it "
            "anew, or --verify these operators"
        )


def _untried(request: ProbeRequest, table: OpTable, forms: Mapping[str, tuple[Form, ...]]) -> tuple[str, ...]:
    """A line on operators that stay as they are in the table, as nobody drew a form of them."""
    ops = [op for op in table.ops if op not in forms]
    if request.ops or request.rules or request.use == "random" or not ops:
        return ()
    return (f"no form, so not tried: {', '.join(ops)}",)


def _cases(
    request: ProbeRequest, compiler: Compiler, forms: Mapping[str, tuple[Form, ...]]
) -> Iterator[Case]:
    if request.use != "random":
        for form in (form for family in forms.values() for form in family):
            yield from grid_cases(form, compiler.PRECISIONS)
    if request.count:
        yield from islice(random_cases(request.seed, compiler.PRECISIONS, forms=forms), request.count)


def _try(
    request: ProbeRequest, name: str, version: str, cases: Sequence[Case], on_progress: OnProgress
) -> tuple[Tried, ...]:
    """Every case with its outcomes, in the cases' order."""
    found: dict[str, tuple[CaseOutcome, ...]] = {}
    opened = Record(request.record, table=name, version=version) if request.record else nullcontext()
    with opened as record, _folder() as folder:
        known = dict(record.known) if record else {}
        results = try_all(
            name,
            record.current(cases, known) if record else cases,
            jobs=request.jobs or len(os.sched_getaffinity(0)),
            everywhere=request.use != "random",
            folder=folder,
            known=known,
        )
        for count, (case, outcomes) in enumerate(results, 1):
            found[case.name] = outcomes
            if record:
                record.add(case, outcomes)
            on_progress(count / len(cases), f"{count} of {len(cases)}: {case.name}")
    tried = tuple((case, found[case.name]) for case in cases)
    if request.evidence is not None:
        before = read_evidence(request.evidence) if request.evidence.exists() else None
        write_evidence(request.evidence, with_new(before, tried, table=name, version=version))
    return tried


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for the children; it stays where a tool failed, as the log is in it."""
    folder = Path(tempfile.mkdtemp(prefix="mosaic-probe-"))
    try:
        yield folder
    except ToolError:
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _text(made: OpTable) -> str:
    path = spec_root() / "targets" / "ops" / f"{made.name}.toml"
    return table_text(made, before=path.read_text(encoding="utf-8") if path.exists() else "")


def _save(folder: Path, agreement: Agreement, cases: Sequence[Case]) -> None:
    """Write each case that disagrees, as ``.onnx`` and its inputs as ``.npz``."""
    by_name = {case.name: case for case in cases}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, item in enumerate(agreement.of(*WRONG)):
            words = re.sub(r"[^A-Za-z0-9.=]+", "-", f"{item.kind} {item.case}")
            by_name[item.case].write(folder, f"{number:03}-{words[:120].strip('-.')}")
    except OSError as err:
        raise UsageError(f"--save {folder}: cannot be written ({err.strerror})") from err
