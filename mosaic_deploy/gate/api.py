"""The gate for a notebook: a model and a target's name give a verdict, or a model that the target takes.

The command line asks more at once (several models, a project config, waivers); what judges and what fixes
is the same code.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.gate.ask.inquiry import AskTerms, inquire
from mosaic_deploy.gate.config import UnknownNodes
from mosaic_deploy.gate.fix.dry_run import by_passes
from mosaic_deploy.gate.fix_report import FixReport
from mosaic_deploy.gate.judging import find_subject, judge_model
from mosaic_deploy.gate.verdict import GatePolicy, TargetVerdict
from mosaic_deploy.graph.ends.ends import settle
from mosaic_deploy.graph.normal.normalise import read_network
from mosaic_deploy.graph.reader.read import Reading
from mosaic_deploy.workers.progress import silent

if TYPE_CHECKING:
    import onnx


def check(
    model: Path | str | onnx.ModelProto,
    *,
    target: str,
    recipe: str | None = None,
    unknown: UnknownNodes | None = None,
    input_shape: tuple[int, int, int, int] | None = None,
    output_name: str | None = None,
) -> TargetVerdict:
    """Judge every operator of a model on one target; no compiler is needed.

    What the table does not clear is asked of the compiler where that is installed already.

    ``passed`` and ``kind`` of the result are the verdict, ``items`` the violations. A project config and its
    waivers are the command line's: here every violation counts.

    Args:
        model: path of an ONNX file, or a graph; it is read as ``read_model`` reads, then normalised, and
            its ends are brought into one form; it is not changed itself.
        target: its name, ``dsp`` say, or the path of a ``.toml``.
        recipe: name of the quantisation recipe that the model will be built with; None is the target's first.
        unknown: what becomes of nodes that nothing is known of, as ``--unknown``: ``fail`` or ``warn`` ask
            no compiler, ``ask`` installs it if need be.
        input_shape: the image's sides, where the model has dynamic ones.
        output_name: the output that is deployed, where the model has several.

    Raises:
        SpecError: an unknown target or recipe, with the nearest known name.
        UsageError: the target does not take the recipe.
        ModelError: the model cannot be read.
        ToolError: what was to be installed cannot be.
    """
    subject = find_subject(target, recipe)
    terms = GatePolicy(today=datetime.now(UTC).date(), unknown_fails=unknown != "warn")
    network = settle(_read(model, Reading(input_shape, output_name))).model
    (judged,) = judge_model(network, (subject,), path="", terms=terms, fixer=by_passes)
    return inquire(judged, subject, AskTerms(unknown), silent)


def fix(
    model: Path | str | onnx.ModelProto,
    *,
    target: str,
    recipe: str | None = None,
    inputs: Sequence[Path] = (),
    input_shape: tuple[int, int, int, int] | None = None,
    output_name: str | None = None,
) -> tuple[onnx.ModelProto, FixReport]:
    """Rewrite the operators that a target does not support, and verify each rewrite numerically.

    Gives the rewritten model and what was done; the report's ``passed`` says whether the target takes it now.

    Args:
        model: as ``check`` takes it; it is not changed.
        target: as ``check`` takes it.
        recipe: as ``check`` takes it.
        inputs: ``.npy`` files, shaped as the model's input, that the graphs before and after each rewrite are
            run on beside random numbers; none named means rendered street scenes.
        input_shape: as ``check`` takes it.
        output_name: as ``check`` takes it.

    Raises:
        SpecError, ModelError: as ``check``; ModelError also where ONNX Runtime does not run the model.
        UsageError: as ``check``; an input does not fit, or the target has no operator table.
        ToolError: a run crashed, or took too long or too much memory.
    """
    from mosaic_deploy.gate.fix.fix_file import fix_for

    subject = find_subject(target, recipe)
    if subject.table is None:
        raise UsageError(f"target {subject.name}: has no operator table, so nothing says what to fix")
    reading = Reading(input_shape, output_name)
    fixed, (done,) = fix_for(_read(model, reading), (subject,), inputs=inputs)
    return fixed, done.report


def _read(model: Path | str | onnx.ModelProto, reading: Reading) -> onnx.ModelProto:
    """Read a file, or a graph by the same rules: shapes inferred, every refusal one line."""
    if isinstance(model, Path | str):
        return read_network(Path(model), reading)
    with tempfile.TemporaryDirectory(prefix="mosaic-deploy-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        try:
            return read_network(path, reading)
        except ModelError as err:
            raise ModelError(str(err).replace(str(path), "the model", 1)) from err
