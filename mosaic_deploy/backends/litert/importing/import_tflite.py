"""The command's own part: where the file goes, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mosaic_deploy.backends.litert.child_calls import CONVERT_S, work
from mosaic_deploy.backends.litert.importing import convert
from mosaic_deploy.backends.protocol import WorkDir
from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.files import disk_trouble, scratch_folder
from mosaic_deploy.workers.call import call
from mosaic_deploy.workers.progress import OnProgress

_LARGEST = 384 << 20


@dataclass(frozen=True, slots=True)
class Imported:
    """What was made of a file."""

    path: Path
    size: tuple[int, int]
    """(height, width) of the image that it takes."""
    operators: int
    restated: tuple[str, ...]
    """Tensors that operators of MediaPipe's own made."""
    difference: float
    """The largest between a tensor of ONNX Runtime's run and of LiteRT's on random images, as a share of the
    tensor's range."""


def import_tflite(tflite: Path, out: Path, *, force: bool, on_progress: OnProgress) -> Imported:
    """Write the float network of a TFLite file as ONNX.

    Args:
        tflite: weights in float32 or float16, one image as input, and operators that ``operators`` knows.
        out: the ``.onnx`` file to write.
        force: whether it may be replaced.
        on_progress: hears how far it is.

    Raises:
        ModelError: the file is missing, too large, damaged, quantised, holds an operator that is not read, or
            LiteRT computes something else with it than ONNX Runtime with what was written.
        UsageError: ``out`` is no ``.onnx``, lies in no folder, or would replace a file.
        ToolError: LiteRT is missing, or the disk is full.
    """
    if out.suffix != ".onnx" or not out.parent.is_dir():
        raise UsageError(f"{out}: name an .onnx file in a folder that exists")
    if out.exists() and not force:
        raise UsageError(f"{out}: exists already: add --force to replace it, or choose another --out")
    if not tflite.is_file():
        raise ModelError(f"{tflite}: no such file")
    if tflite.stat().st_size > _LARGEST:
        raise ModelError(f"{tflite}: larger than {_LARGEST >> 20} MiB, the largest that is supported")
    with disk_trouble(out), scratch_folder(out.parent) as folder:
        made = folder / out.name
        request = {"tflite": str(tflite.resolve()), "onnx": str(made.resolve())}
        space = WorkDir(folder, folder / "logs")
        job = work(space, convert.convert, request, timeout_s=CONVERT_S)
        done = call(job, on_progress=on_progress).result
        made.replace(out)
    _, height, width, _channels = done["input"]
    restated = tuple(str(name) for name in done["restated"])
    return Imported(out, (height, width), done["operators"], restated, float(done["difference"]))
