"""What comes after TFLite for an Edge TPU: Coral's table, and Coral's compiler where it is on PATH."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from mosaic_deploy._version import __version__
from mosaic_deploy.backends.litert import child_calls
from mosaic_deploy.backends.litert.child_calls import CHECK_S, work
from mosaic_deploy.backends.litert.edgetpu import operators
from mosaic_deploy.backends.protocol import BuildJob, CompiledModel, File, Step
from mosaic_deploy.errors import RefusedError, SpecError, ToolError
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.specs.toml import nearest
from mosaic_deploy.workers.call import call, run_program
from mosaic_deploy.workers.progress import OnProgress

_COMPILE_S = 1800
_MAPPED = "Mapped to Edge TPU"
_ROW = re.compile(r"^([A-Z][A-Z0-9_]+)\s+(\d+)\s+(\S.*?)\s*$", re.MULTILINE)
_VERSION = re.compile(r"Edge TPU Compiler version (\S+)")


def table_path(target: TargetSpec) -> Path:
    """The table that a target names; raises ``SpecError`` if there is none of that name."""
    folder = spec_root() / "targets" / "compilers"
    name = str(target.options["compiler_table"])
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if name not in known:
        raise SpecError(f"target {target.name}: no compiler table '{name}'{nearest(name, known)}")
    return folder / f"{name}.toml"


def compile_further(job: BuildJob, built: CompiledModel, *, on_progress: OnProgress) -> CompiledModel:
    """Hold the file against the table, and compile it where the compiler is here.

    ``facts`` say under ``compiled`` whether it was, and if not, why: the table is documentation, not proof.

    Raises:
        RefusedError: an operator is not in the table, breaks a constraint of it, or stays on the CPU.
        ToolError: the compiler failed.
    """
    model = built.folder / built.files[0].path
    request = {"model": str(model), "table": str(table_path(job.target))}
    checking = work(job.space, operators.check, request, timeout_s=CHECK_S)
    checked = call(checking, on_progress=lambda s, text: on_progress(0.2 * s, text))
    step = Step("check operators", "mosaic-deploy", __version__, checked.seconds, checked.peak_bytes)
    facts = {**built.facts, "operators": checked.result["operators"], "may_stay": checked.result["may_stay"]}
    built = replace(built, steps=(*built.steps, step), facts=facts)
    program = str(job.target.options.get("compiler", ""))
    if not program or shutil.which(program) is None:
        why = f"{program or 'no compiler'} is not on PATH, so the file was only held against its documents"
        return replace(built, facts={**facts, "compiled": False, "not_compiled": why})
    return _compile(job, built, program)


def _compile(job: BuildJob, built: CompiledModel, program: str) -> CompiledModel:
    model = built.folder / built.files[0].path
    folder = Path(tempfile.mkdtemp(prefix="compiler-", dir=job.space.scratch)).resolve()
    log = job.space.logs.resolve() / f"{program}.log"
    start = log.stat().st_size if log.is_file() else 0
    argv = [program, "-s", "-o", str(folder), str(model)]
    outcome = run_program(argv, timeout_s=_COMPILE_S, log=log, cwd=folder, memory_bytes=child_calls.MEMORY)
    said = log.read_bytes()[start:].decode(errors="replace")
    made = folder / f"{model.stem}_edgetpu.tflite"
    if not made.is_file():
        raise ToolError(f"{program} exited with 0 and wrote no {made.name}; log: {log}")
    rows = _ROW.findall(said)
    if not rows:
        raise ToolError(f"{program} does not say which operators it mapped; log: {log}")
    left = [f"{count} {kind} ({status})" for kind, count, status in rows if status != _MAPPED]
    if left:
        raise RefusedError(f"{program} leaves to the CPU: {', '.join(left)}; log: {log}")
    shutil.copyfile(made, built.folder / made.name)
    found = _VERSION.search(said)
    version = found[1] if found else "unknown"
    mapped = sum(int(count) for _, count, _ in rows)
    step = Step("compile", program, version, outcome.seconds, outcome.peak_bytes)
    # The plain file remains what runs here; a device loads the compiled one.
    files = (
        *(replace(file, ships=False) for file in built.files),
        File(made.name, "edgetpu-tflite", ships=True),
    )
    facts = {**built.facts, "compiled": True, "mapped": mapped}
    return replace(built, files=files, steps=(*built.steps, step), facts=facts)
