"""Where does it part? The network after each stage of a build, against the float ONNX as the card states it.

PyTorch -> ONNX -> output kind -> fixes -> the runtime's format -> quantised -> the target's runtime
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mosaic_deploy.accuracy.parity import ParityReport
from mosaic_deploy.backends.plain_onnx import OnnxRuntime
from mosaic_deploy.backends.protocol import CompiledModel, WorkDir
from mosaic_deploy.build.fitting import Fitted
from mosaic_deploy.build.inputs import Inputs
from mosaic_deploy.build.reference_maps import Maps, class_maps, predict
from mosaic_deploy.errors import MosaicError
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.workers.progress import OnProgress, StageProgress

StageName = Literal["export", "output", "fixes", "conversion", "quantised", "target"]
QDQ = "qdq-onnx"
"""Kind of a built file that is the quantised graph as ONNX Runtime takes it."""
_REFUSED = "ONNX Runtime's CPU kernels do not run it"
"""Said alone: the tool's own words name folders of this machine, and a report is sent on."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The network after one stage."""

    name: StageName
    parity: ParityReport | None = None
    """Against the float ONNX with the card's output, on the images that the target ran; of ``export`` the
    float ONNX itself against PyTorch, on a few images."""
    why: str = ""
    """Why there is no figure."""
    variant: str = ""
    """The compiled variant, of ``target``."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """What it takes to run a stage's network and to compare it."""

    inputs: Inputs
    """Of the images that the target ran."""
    space: WorkDir
    measure: Callable[[Maps], ParityReport]
    progress: StageProgress

    def folder(self, name: StageName) -> Path:
        """A folder of the stage, with one for logs in it."""
        place = self.space.scratch / f"stage-{name}"
        (place / "logs").mkdir(parents=True)
        return place


def exported(parity: ParityReport | None, why: str) -> Stage:
    """The trained network in PyTorch (its reference) against its export, on a few images."""
    return Stage("export", parity, why="" if parity else why)


def output_kind(parity: ParityReport | None) -> Stage:
    """Another kind of output than the card's."""
    return Stage("output", parity, why="" if parity else "the card's own")


def converted(parity: ParityReport | None) -> Stage:
    """The float network in the runtime's own format."""
    return Stage("conversion", parity, why="" if parity else "nothing is converted before it is quantised")


def fixed(fitted: Fitted, contract: Contract, measuring: Measuring, *, known: Maps | None = None) -> Stage:
    """The graph as passes rewrote it, on ONNX Runtime; ``known`` are its maps where it has run already."""
    if fitted.fixed is None or not fitted.fixed.steps:
        return Stage("fixes", why="nothing was rewritten")
    maps = known
    if maps is None:
        maps = rewritten(
            fitted, contract, measuring, lambda share, note: measuring.progress("stages", share / 2, note)
        )
    return Stage("fixes", why=_REFUSED) if maps is None else Stage("fixes", measuring.measure(maps))


def rewritten(
    fitted: Fitted, contract: Contract, measuring: Measuring, on_progress: OnProgress
) -> Maps | None:
    """Class maps of the graph as passes left it; None where ONNX Runtime's CPU kernels do not run it."""
    place, inputs = measuring.folder("fixes"), measuring.inputs
    try:
        outputs, _ = predict(
            fitted.file,
            inputs.validation,
            place / "scores",
            place / "logs",
            on_progress=on_progress,
        )
        return class_maps(contract, outputs, inputs.images, place / "maps")
    except MosaicError:
        return None


def quantised(
    built: CompiledModel, contract: Contract, turned: tuple[Path, ...], measuring: Measuring
) -> Stage:
    """The quantised graph on ONNX Runtime, where the target's files have one; ``turned`` are its inputs."""
    graphs = [file for file in built.files if file.kind == QDQ]
    if not graphs:
        return Stage("quantised", why="the target's converter quantises, and its files are no ONNX")
    place = measuring.folder("quantised")
    try:
        run = OnnxRuntime().run(
            CompiledModel(built.folder, (graphs[0],), (), built.facts),
            contract,
            turned,
            space=WorkDir(place, place / "logs"),
            on_progress=lambda share, note: measuring.progress("stages", (1 + share) / 2, note),
        )
        maps = class_maps(contract, run.outputs, measuring.inputs.images, place / "maps")
    except MosaicError:
        return Stage("quantised", why=_REFUSED)
    return Stage("quantised", measuring.measure(maps))


def on_target(variants: Mapping[str, ParityReport]) -> tuple[Stage, ...]:
    """The compiled variants, as the gate judged them."""
    return tuple(Stage("target", parity, variant=name) for name, parity in variants.items())
