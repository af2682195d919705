"""sensitivity(): what 8 bits of each tensor do to the classes that a network gives, as a target quantises it.

graph as it is compiled -> quantisers with switches -> classes that change, tensor by tensor -> the worst
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mosaic_deploy.backends.protocol import BuildJob, MixedBackend, RankingTerms, WorkDir
from mosaic_deploy.build.order import Common, TargetBuild
from mosaic_deploy.build.pipeline import prepare
from mosaic_deploy.build.plan import Request, Unplanned, plan
from mosaic_deploy.build.target_build import TargetBuilder
from mosaic_deploy.build.todo import Todo
from mosaic_deploy.build.wide_operators import kept_in_8_bits
from mosaic_deploy.errors import RefusedError, UsageError
from mosaic_deploy.files import sha256_of
from mosaic_deploy.quantize.mixed import Finer
from mosaic_deploy.specs.recipe import QuantRecipe, Search
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.workers.progress import StageProgress, silent

AUTO = "auto"
"""The recipe of targets that keep single activations more finely than the rest; it also states which shares
of them are tried."""


@dataclass(frozen=True, slots=True)
class TensorLoss:
    """What 8 bits of one tensor do while every other one is in 16."""

    name: str
    op: str
    """The operator that makes it; of a weight, the one that reads it."""
    flips: float
    """Share of the pixels whose class changes, in [0, 1]."""
    lost: float
    """The same, each pixel weighed by the margin of its best score over the second, in [0, 1]."""
    drop: float | None = None
    """Fall of mIoU, a fraction, below 0 where it rises; None where the images have no labels."""


@dataclass(frozen=True, slots=True)
class Lift:
    """The worst activations in 16 bits and the rest in 8."""

    sixteen: tuple[str, ...]
    """Names of those that are chosen."""
    lifted: float
    """Share of all activations that then is in 16 bits, in [0, 1]."""
    conversions: int
    """Tensors that are converted between 8 and 16 bits."""
    agreement: float
    """Predicted share of the pixels that keep the float network's class, in [0, 1]."""
    miou: float | None = None
    """Predicted, in [0, 1]; None where the images have no labels."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What was measured on some images of one network for one target."""

    model: str
    target: str
    recipe: str
    data: str
    images: int
    activations: tuple[TensorLoss, ...]
    """The worst first."""
    weights: tuple[TensorLoss, ...]
    """Empty unless asked for."""
    lifts_to: Finer
    """What lifted activations are in."""
    agreement: float
    """Predicted share of the pixels that keep the float network's class with the recipe as it is."""
    lifts: tuple[Lift, ...]
    """From few activations in 16 bits to all that may be."""
    blocked: tuple[str, ...] = ()
    """Tensors that the target's operator table keeps in 8 bits."""
    float_miou: float | None = None
    """Of the float network on these images, in [0, 1]; None where they have no labels."""
    miou: float | None = None
    """Predicted with the recipe as it is."""
    network: str = ""
    """The sha256 of the float ONNX that is compiled: a build of the same has it as ``model.onnx``."""

    def to_json(self) -> dict[str, object]:
        """As JSON's types."""
        return asdict(self)

    def overlay(self) -> dict[str, object]:
        """Node data for Model Explorer, by the names of output tensors: margin-weighted flips in percent.

        Source: ``GraphNodeData`` in Model Explorer's ``node_data_builder.py``.
        """
        return {
            "results": {loss.name: {"value": round(100 * loss.lost, 6)} for loss in self.activations},
            "gradient": [{"stop": 0, "bgColor": "#ffffff"}, {"stop": 1, "bgColor": "#c62828"}],
        }


def sensitivity(request: Request, *, weights: bool = False, progress: StageProgress = silent) -> Sensitivity:
    """Measure every activation, and on request every weight, of one build without building it.

    Args:
        request: one target and a w8a8 recipe; its ``images`` are measured on, and no file is written.
        weights: measure the weights too, which takes a session of ONNX Runtime each.
        progress: progress.

    Raises:
        UsageError: several targets, a recipe of other bits, or a target without activations in 16 bits.
        RefusedError: the target refuses operators of the network.
        MosaicError: network, images or tools cannot be used.
    """
    item, *others = plan(request)
    if others:
        raise UsageError(f"sensitivity is measured for one target, not for {len(others) + 1}")
    if isinstance(item, Unplanned):
        raise item.error
    target, backend = item.target.name, item.backend
    finer = backend.lifts_to(item.target) if isinstance(backend, MixedBackend) else None
    if not isinstance(backend, MixedBackend) or finer is None or AUTO not in item.target.recipes:
        raise UsageError(f"target {target}: all its activations are of one precision; measure it for dsp")
    if item.recipe.precision != "w8a8":
        raise UsageError(f"recipe {item.recipe.name}: sensitivity is measured for recipes of 8 bits (w8a8)")
    with tempfile.TemporaryDirectory(prefix="mosaic-sensitivity-") as scratch:
        folder = Path(scratch)
        (folder / "logs").mkdir()
        (order,), common = prepare([Todo(item, {})], folder, progress)
        if order.checked is not None and not order.checked.passed:
            raise RefusedError(
                f"{item.model.card.name}: {target} refuses some of its operators: "
                f"run mosaic-deploy check {request.model} --target {target}"
            )
        job, images = _job(order, common, folder / "build", progress)
        blocked = kept_in_8_bits(item, job.onnx, finer)
        found = backend.rank(
            job,
            RankingTerms(
                images,
                _shares(),
                blocked,
                weights,
                labels=tuple(image.label for image in common.inputs.images if image.label is not None),
                contract=job.contract.model_copy(update={"layout": job.layout}),
            ),
            on_progress=lambda share, note: progress("rank", share, note),
        )
        progress("rank", 1.0, "")
        network = sha256_of(job.onnx)
    return Sensitivity(
        model=item.model.card.name,
        target=target,
        recipe=item.recipe.name,
        data=item.validation.name,
        images=len(images),
        activations=_losses(found["activations"]),
        weights=_losses(found["weights"]),
        lifts_to=finer,
        agreement=float(str(found["agreement"])),
        lifts=_lifts(found["steps"]),
        blocked=blocked,
        float_miou=_share(found["float_miou"]),
        miou=_share(found["miou"]),
        network=network,
    )


def _shares() -> tuple[float, ...]:
    """Of the activations, the largest shares that are tried more finely: those that ``auto`` tries."""
    search = load_spec(QuantRecipe, AUTO).search
    return (search or Search()).shares


def _share(value: object) -> float | None:
    return None if value is None else float(str(value))


def _job(
    order: TargetBuild, common: Common, folder: Path, progress: StageProgress
) -> tuple[BuildJob, tuple[Path, ...]]:
    """What a backend would be asked to build in ``folder``, and the validation images as it takes them."""
    space = WorkDir(folder / "scratch", folder / "logs")
    space.scratch.mkdir(parents=True)
    space.logs.mkdir()
    shutil.copyfile(order.fitted.file, folder / "model.onnx")
    builder = TargetBuilder(order, common, folder, space, progress)
    job = builder.job()
    return job, builder.turned(common.inputs.validation, "inputs", job)


def _losses(entries: Any) -> tuple[TensorLoss, ...]:
    return tuple(TensorLoss(e["name"], e["op"], e["flips"], e["lost"], e["drop"]) for e in entries)


def _lifts(steps: Sequence[Mapping[str, Any]] | Any) -> tuple[Lift, ...]:
    return tuple(
        Lift(tuple(s["sixteen"]), s["lifted"], s["conversions"], s["agreement"], s["miou"]) for s in steps
    )
