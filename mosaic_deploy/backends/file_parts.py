"""Parts of a compiled file: what computes one of its tensors, cut out of it and run, in one child process.

For runtimes whose files are of another format than ONNX (``parts`` has those that compile ONNX as it is). The
tensors go by the names of the float ONNX that the file was made from: each runtime has a function that finds
them in a file, and one that runs what computes one of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.stored_weights import BIAS, INTEGERS, STEPS
from mosaic_deploy.errors import UsageError
from mosaic_deploy.specs.toolchain import toolchain_python
from mosaic_deploy.workers.call import GIB, Call, Outcome, call
from mosaic_deploy.workers.worker import JsonObject, Work

_FILES: Mapping[str, tuple[str, str, str, str]] = {
    "tflite": ("litert.same_tensors", "litert.part", "litert", ".tflite"),
    "openvino": ("openvino.same_tensors", "openvino.part", "openvino", ".xml"),
}
"""Backend -> the module of this room whose ``find`` finds tensors, that whose ``run_part`` runs parts, the
toolchain of both, and how the name of the file ends."""
_PROCESSOR = "xnnpack"
"""What the facts of an artifact call the CPU, where they name what runs its file."""
_FIND_S, _RUN_S, _IMAGE_S = 1800.0, 600.0, 60.0
_MEMORY = 8 * GIB


@dataclass(frozen=True, slots=True)
class FileTensor:
    """One tensor of the ONNX as a file has it."""

    stored: str
    """Its name in the file."""
    axes: tuple[int, ...] | None
    """``values.transpose(axes)`` has the ONNX's order of axes; None where the file's is the same."""
    scale: float | None
    """Of its grid; None where it has none."""
    zero_point: int
    dtype: str
    """Of the grid's integers."""
    integers: bool
    """Whether the file holds these integers, and not the floats that they stand for."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file knows of an ONNX."""

    tensors: Mapping[str, FileTensor]
    """Those that are in it, by their names in the ONNX, the image among them."""
    halves: bool
    """Whether its weights are float16."""
    weights: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
    """Weights of the ONNX, by their names there, as the file has them: integers, and the step of each."""
    biases: Mapping[str, NDArray[Any]]
    """Biases that the quantiser changed."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What is to be computed."""

    wanted: FileTensor
    given: Sequence[Mapping[str, Path]]
    """For each image: name in the file -> .npy as the file takes it; the same names for all."""
    images: Sequence[Path]
    """``.npy`` as the contract prepares them, for where a way leads to the image past what is given."""


@dataclass(frozen=True, slots=True)
class FileParts:
    """A runtime for parts of its files."""

    find: Work
    """Takes ``file``, ``onnx``, ``layout`` of the ONNX's image, ``shape`` of the file's, ``image``, a .npy as
    the contract prepares it, ``integers``, whether the file has any, and ``weights``, where those that were
    found are written (see ``stored_weights``). Returns ``tensors`` (name in the ONNX -> fields of a
    ``FileTensor``) and ``halves``."""
    run_part: Work
    """Takes ``file``, ``wanted``, ``given`` (names in the file), ``feeds`` (name -> .npy for each image),
    ``images``, ``input`` (the facts of the file's image), ``outputs`` (a .npy each) and ``cut``, where the
    part is kept, with what it was fed beside it (see ``fed``). Returns ``ran_on`` in words."""
    toolchain: str
    suffix: str

    def facts(self, request: JsonObject, *, folder: Path, log: Path) -> FileFacts:
        """Find the tensors of an ONNX in a file; raises ``ModelError`` or ``ToolError`` as the tools do."""
        held = folder / "weights.npz"
        asked = {**request, "weights": str(held.resolve())}
        made = self._call(self.find, asked, _FIND_S, folder, log, "tensors").result
        tensors = {}
        for name, fields in made["tensors"].items():
            axes = None if fields["axes"] is None else tuple(fields["axes"])
            tensors[str(name)] = FileTensor(**{**fields, "axes": axes})
        weights, biases = _read_weights(held)
        return FileFacts(tensors, bool(made["halves"]), weights, biases)

    def run(
        self, file: Path, part: Cut, outputs: Sequence[Path], *, image: JsonObject, folder: Path, log: Path
    ) -> str:
        """Cut a part out and run it in a child process; ``folder`` is scratch, and gets ``part.SUFFIX``.

        Returns the runtime in words.

        Raises:
            ModelError: the runtime does not load the part.
            ToolError: it failed, or took too long or too much memory.
        """
        feeds = [{name: str(path.resolve()) for name, path in given.items()} for given in part.given]
        request: JsonObject = {
            "file": str(file.resolve()),
            "wanted": part.wanted.stored,
            "given": sorted(feeds[0]) if feeds else [],
            "feeds": feeds,
            "images": [str(path.resolve()) for path in part.images],
            "input": image,
            "outputs": [str(path.resolve()) for path in outputs],
            "cut": str((folder / f"part{self.suffix}").resolve()),
        }
        limit = _RUN_S + _IMAGE_S * len(part.images)
        return str(self._call(self.run_part, request, limit, folder / "work", log, "probe").result["ran_on"])

    def _call(
        self, work: Work, request: JsonObject, limit_s: float, folder: Path, log: Path, name: str
    ) -> Outcome:
        interpreter = toolchain_python(self.toolchain)
        environment = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
        return call(Call(work, request, limit_s, _MEMORY, log, folder, environment, name, interpreter))


def _read_weights(
    place: Path,
) -> tuple[dict[str, tuple[NDArray[Any], NDArray[Any]]], dict[str, NDArray[Any]]]:
    with np.load(place, allow_pickle=False) as held:
        names = [name.removeprefix(INTEGERS) for name in held.files if name.startswith(INTEGERS)]
        weights = {name: (held[f"{INTEGERS}{name}"], held[f"{STEPS}{name}"]) for name in names}
        biases = {name.removeprefix(BIAS): held[name] for name in held.files if name.startswith(BIAS)}
    return weights, biases


def fed(cut: Path, image: int, place: int) -> Path:
    """Where a part's input is kept as the runtime got it, by the numbers of the image and of the input."""
    return cut.with_name(f"fed-{image}-{place}.npy")


def file_backends() -> tuple[str, ...]:
    """The backends whose files are cut."""
    return (*_FILES,)


def load_file_parts(backend: str, facts: Mapping[str, object]) -> FileParts | None:
    """What cuts the files of a backend; None where nothing does.

    Raises ``UsageError`` where the files run on what takes no parts: ``facts`` are those of the artifact.
    """
    if backend not in _FILES:
        return None
    accelerator = facts.get("accelerator", _PROCESSOR)
    if accelerator != _PROCESSOR:
        raise UsageError(
            f"{backend} on '{accelerator}': parts of its files are run on the CPU alone, where they say "
            "nothing of it: hold the whole file against the float network with 'validate'"
        )
    find, run, toolchain, suffix = _FILES[backend]
    room = __name__.rpartition(".")[0]
    finder: Work = importlib.import_module(f"{room}.{find}").find
    runner: Work = importlib.import_module(f"{room}.{run}").run_part
    return FileParts(finder, runner, toolchain, suffix)
