"""``check --fix``: a model rewritten for every target that was asked for, verified, and written to a file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.files import moved_in
from mosaic_deploy.gate.fix.fix import TOOLCHAIN as RECHECK_TOOLCHAIN
from mosaic_deploy.gate.fix.fix import Recheck, fix
from mosaic_deploy.gate.judging import decisive
from mosaic_deploy.gate.pictures import scenes
from mosaic_deploy.gate.report import Fixed
from mosaic_deploy.gate.verdict import GateTarget
from mosaic_deploy.graph.facts import Tensor, inputs_of, nodes_with_bodies
from mosaic_deploy.graph.normal.normalise import read_network
from mosaic_deploy.graph.reader.read import AS_IT_IS, FILE_BYTES, Reading, read_model
from mosaic_deploy.specs.toolchain import require_toolchain
from mosaic_deploy.workers.progress import StageProgress, silent

if TYPE_CHECKING:
    import onnx


_SCENES = 2


def fix_file(
    path: Path,
    out: Path,
    subjects: Sequence[GateTarget],
    *,
    inputs: Sequence[Path] = (),
    reading: Reading = AS_IT_IS,
    on_progress: StageProgress,
) -> tuple[Fixed, ...]:
    """Fix a model for one target after the other and write it; nothing is written if that fails.

    Args:
        path: the ONNX file, which is only read.
        out: the file to write; it is replaced.
        subjects: targets with an op table.
        inputs: ``.npy`` files as the model takes them, to re-check the passes on beside random numbers; by
            default rendered street scenes, scaled to [-1, 1] where the model takes floats.
        reading: what is said of a file that leaves its size or output open.
        on_progress: progress.

    Raises:
        UsageError: an input does not fit, or ``out`` cannot be written.
        ModelError: the model cannot be read, or ONNX Runtime does not run it.
        ToolError: a re-check crashed, or took too long or too much memory.
    """
    if out.suffix != ".onnx":
        raise UsageError(f"--fix {out}: name a file that ends in .onnx")
    model, done = fix_for(read_network(path, reading), subjects, inputs=inputs, on_progress=on_progress)
    _write(model, out)
    return done


def fix_for(
    model: onnx.ModelProto,
    subjects: Sequence[GateTarget],
    *,
    inputs: Sequence[Path] = (),
    on_progress: StageProgress = silent,
) -> tuple[onnx.ModelProto, tuple[Fixed, ...]]:
    """Fix a model, as ``read_model`` returned it, for one target after the other; arguments as ``fix_file``.

    Raises as ``fix_file``, but for what concerns its files.
    """
    require_toolchain(RECHECK_TOOLCHAIN, on_progress)
    image = inputs_of(model)[0]
    done = []
    with tempfile.TemporaryDirectory(prefix="mosaic-deploy-fix-") as folder:
        real = _checked(inputs, image) if inputs else _scenes(image, Path(folder))
        for subject in subjects:
            assert subject.table is not None
            stage = f"fix {subject.name}"
            on_progress(stage, 0.0, "searching passes and verifying each")
            model, report = fix(
                model,
                table=subject.table,
                precision=decisive(nodes_with_bodies(model), subject),
                devices=subject.devices,
                recheck=Recheck(inputs=tuple(real)),
            )
            on_progress(stage, 1.0, "")
            done.append(Fixed(subject.name, report))
    return model, tuple(done)


def _checked(inputs: Sequence[Path], image: Tensor) -> Sequence[Path]:
    for path in inputs:
        try:
            held = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as err:
            raise UsageError(f"{path}: not an .npy file of numbers ({str(err)[:120]})") from err
        seen = (str(held.dtype), held.shape) if isinstance(held, np.ndarray) else ("an archive", ())
        if seen != (image.dtype, image.shape):
            raise UsageError(
                f"{path}: holds {seen[0]} {seen[1]}, the model takes {image.dtype} {image.shape}"
            )
    return inputs


def _scenes(image: Tensor, folder: Path) -> list[Path]:
    """Write rendered street scenes as the model takes them; none for one that takes no three colours."""
    written: list[Path] = []
    for number, pixels in enumerate(scenes(image, count=_SCENES)):
        written.append(folder / f"scene{number}.npy")
        np.save(written[-1], pixels, allow_pickle=False)
    return written


def _write(model: onnx.ModelProto, out: Path) -> None:
    """Write beside, read it as anyone else's file would be, and move it into its place."""
    if model.ByteSize() > FILE_BYTES:
        raise ModelError(
            f"--fix {out}: the fixed model has {model.ByteSize() >> 20} MiB, more than is read back"
        )
    try:
        with moved_in(out) as (part,):
            part.write_bytes(model.SerializeToString())
            read_model(part)
    except OSError as err:
        raise UsageError(f"--fix {out}: cannot be written ({err.strerror})") from err
