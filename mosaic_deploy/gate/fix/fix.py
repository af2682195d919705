"""Fixes: a model rewritten, pass by pass, until an op table clears it, and every pass checked by running.

    check -> violations -> passes that may cure them -> check again: better? -> run both graphs -> FixReport

A pass touches only nodes that the check objects to, and stays only where the check then objects less. An
exact pass whose graph computes something else after all is withdrawn.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mosaic_deploy.gate.fix.pass_search import Goal, Taken, search
from mosaic_deploy.gate.op_support.judge import check
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.graph.execute import expose
from mosaic_deploy.graph.passes import PASSES, Pass
from mosaic_deploy.graph.passes.recheck import compare
from mosaic_deploy.specs.precision import Precision
from mosaic_deploy.specs.toolchain import toolchain_python
from mosaic_deploy.workers.call import GIB, Call, call

if TYPE_CHECKING:
    import onnx
from mosaic_deploy.gate.fix_report import FixReport, FixStep

EXACT = tuple(step for step in PASSES if step.exact)
"""What a build applies by itself."""

NODE_TOLERANCE = 1e-5
"""Of an exact pass: the largest difference, as a share of the range, in the first tensor that it makes."""

OUTPUT_TOLERANCE = 1e-4
"""The same for tensors behind others that it made, up to the outputs, where rounding has added up."""

Fixes = Literal["exact", "lossy", "none"]
"""Which passes may rewrite a graph unasked."""

TOOLCHAIN = "ort"
"""Where passes are re-checked."""
TIMEOUT_S = 600.0
MEMORY_BYTES = 8 * GIB
_TENSORS = 64  # compared per pass, beside the outputs


@dataclass(frozen=True, slots=True)
class Recheck:
    """On what both graphs are run."""

    inputs: tuple[Path, ...] = ()
    """Real inputs: ``.npy`` files as ``Contract.prepare`` makes them."""
    random: int = 2
    """Random inputs beside them: normal numbers, or bytes."""
    seed: int = 0


def allowed_passes(fixes: Fixes) -> tuple[Pass, ...]:
    """The passes that a choice allows: none; those that change rounding at most; all."""
    return {"none": (), "exact": EXACT, "lossy": PASSES}[fixes]


def fixable(op: str, *, passes: Sequence[Pass] = PASSES) -> bool:
    """Tell whether some pass may cure a violation of this operator, as ``Violation.op`` names it.

    Whether it does, only ``fix`` tells: the node must be one that the pass knows.
    """
    return any(op in step.targets for step in passes)


def fix(
    model: onnx.ModelProto,
    *,
    table: OpTable,
    precision: Precision,
    devices: Sequence[str] = (),
    recheck: Recheck | None = None,
    passes: Sequence[Pass] = PASSES,
) -> tuple[onnx.ModelProto, FixReport]:
    """Rewrite what the table objects to, as far as passes can.

    Args:
        model: as ``read_model`` returned it; it is not changed.
        table: of the compiler in question.
        precision: as ``check`` takes it.
        devices: as ``check`` takes them.
        recheck: on what to run both graphs, in child processes; None only tells whether fixes exist.
        passes: those to choose from, in the order of ``passes.ordered``.

    Raises:
        ModelError: ONNX Runtime does not run the model, so that no pass can be re-checked.
        ToolError: it crashed, or took too long or too much memory.
    """
    goal = Goal(table, precision, tuple(devices))
    before = check(model, table=table, precision=precision, devices=devices)
    withdrawn: list[str] = []
    allowed = list(passes)
    while True:
        taken = search(model, goal, tuple(allowed), before)
        if recheck is None:
            steps = tuple(_step(t, None, None) for t in taken)
            break
        steps, culprit = _measured(model, taken, recheck)
        if culprit is None:
            break
        withdrawn.append(culprit)
        allowed = [step for step in allowed if step.name != culprit.partition(":")[0]]
    fixed, after = (taken[-1].model, taken[-1].report) if taken else (model, before)
    return fixed, FixReport(steps, tuple(withdrawn), before, after)


def _measured(
    model: onnx.ModelProto, taken: Sequence[Taken], recheck: Recheck
) -> tuple[tuple[FixStep, ...], str | None]:
    """Run the graphs before and after each pass; stops at the first that is not as exact as it says."""
    steps: list[FixStep] = []
    with tempfile.TemporaryDirectory(prefix="mosaic-deploy-fix-") as folder:
        previous = model
        for one in taken:
            names = [value.name for value in model.graph.output]
            tensors = _tensors(one, names)
            errors = _errors(previous, one, [*tensors, *names], recheck, Path(folder))
            complaint = _complaint(one.step, tensors, errors)
            if complaint is not None:
                return (), f"{one.step.name}: {complaint}"
            inside = max((errors[name] for name in tensors), default=None)
            steps.append(_step(one, inside, max(errors[name] for name in names)))
            previous = one.model
    return tuple(steps), None


def _tensors(one: Taken, outputs: Sequence[str]) -> list[str]:
    """Tensors inside the graph that exist before and after, in the graph's order."""
    named = {name for change in one.changes for name in change.outputs} - set(outputs)
    order = [name for node in one.model.graph.node for name in node.output if name in named]
    return order[:_TENSORS]


def _complaint(step: Pass, tensors: Sequence[str], errors: dict[str, float]) -> str | None:
    if not step.exact:
        broken = [name for name, error in errors.items() if error >= 1e30]
        return f"'{broken[0]}' has another shape or is no longer finite" if broken else None
    for name, error in errors.items():
        limit = 0.0 if step.bit_exact else OUTPUT_TOLERANCE
        if tensors and name == tensors[0]:
            limit = min(limit, NODE_TOLERANCE)
        if error > limit:
            return f"'{name}' differs by {error:.2g} of its range, {limit:.2g} is allowed in an exact pass"
    return None


def _step(one: Taken, node_error: float | None, output_error: float | None) -> FixStep:
    nodes = tuple(change.node for change in one.changes)
    covered = tuple(dict.fromkeys(name for change in one.changes for name in change.covered))
    return FixStep(one.step.name, one.step.summary, one.step.exact, nodes, node_error, output_error, covered)


def _errors(
    before: onnx.ModelProto, one: Taken, tensors: Sequence[str], recheck: Recheck, folder: Path
) -> dict[str, float]:
    paths = {"before": folder / "before.onnx", "after": folder / "after.onnx"}
    for key, model in (("before", before), ("after", one.model)):
        paths[key].write_bytes(expose(model, tensors).SerializeToString())
    request = {
        **{key: str(path) for key, path in paths.items()},
        "tensors": list(tensors),
        "inputs": [str(path.resolve()) for path in recheck.inputs],
        "random": recheck.random,
        "seed": recheck.seed,
    }
    outcome = call(
        Call(
            compare,
            request,
            timeout_s=TIMEOUT_S,
            memory_bytes=MEMORY_BYTES,
            log=folder / "fix.log",
            cwd=folder / "work",
            name=f"re-check of pass {one.step.name}",
            interpreter=toolchain_python(TOOLCHAIN),
        )
    )
    return {str(name): float(error) for name, error in outcome.result["errors"].items()}
