"""Corrected biases as a step of recipe ``auto``: tried, and kept only where another domain confirms them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mosaic_deploy.backends.protocol import RankingTerms
from mosaic_deploy.build.auto_choice import Attempt, Choice
from mosaic_deploy.build.auto_trial import Trials
from mosaic_deploy.build.other_domain import OtherDomain
from mosaic_deploy.files import write_whole
from mosaic_deploy.quantize.bias_shifts import shifted
from mosaic_deploy.specs.recipe import Method

BY_ITSELF = "the target's own quantiser corrects them"
PREDICTED = "no gain predicted on both"
MEASURED = "no gain on the target's runtime"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of corrected biases."""

    trials: Trials
    """To go on with: of the corrected network where that is kept."""
    attempt: Attempt | None
    """Of the corrected network; None where it was not built."""
    facts: dict[str, object]
    """See ``auto.Found``."""


def try_biases(trials: Trials, method: Method, base: Attempt, elsewhere: OtherDomain) -> Outcome:
    """Correct the biases, and keep that if it helps.

    Predicted with the quantisers in ONNX Runtime: it must help on images of another domain, and must not hurt
    on those that decide. Then it is built, and must be better than ``base`` on the target's own runtime.

    Raises ``MosaicError`` where the network cannot be quantised or compiled.
    """
    if trials.backend.corrects_biases:
        return Outcome(trials, None, {"kept": False, "why": BY_ITSELF})
    found = _predicted(trials, method, elsewhere)
    facts = {"elsewhere": f"{len(elsewhere.images)} {elsewhere.what}", **_told(found)}
    if not found["helps"]:
        return Outcome(trials, None, {"kept": False, "why": PREDICTED, **facts})
    corrected = _corrected(trials, found["shifts"])
    attempt = corrected.attempt(Choice(method))
    if attempt.agreement <= base.agreement:
        return Outcome(trials, attempt, {"kept": False, "why": MEASURED, **facts})
    return Outcome(corrected, attempt, {"kept": True, "why": "", **facts})


def _predicted(trials: Trials, method: Method, elsewhere: OtherDomain) -> Mapping[str, Any]:
    def work() -> dict[str, Any]:
        images = elsewhere.prepare(trials.job.contract, trials.folder / "elsewhere")
        terms = RankingTerms(trials.deciding, (), elsewhere=images)
        job = trials.by(method, "biases")
        return dict(trials.backend.rank(job, terms, on_progress=trials.tell("auto biases")))

    return trials.record.kept(f"biases by {method}", work)


def _told(found: Mapping[str, Any]) -> dict[str, object]:
    def changed(fold: str) -> list[float]:
        return [found[fold][when]["flips"] for when in ("before", "after")]

    return {
        "layers": len(found["shifts"]),
        "changed": changed("held_out"),
        "changed_elsewhere": changed("elsewhere"),
    }


def _corrected(trials: Trials, shifts: Mapping[str, list[float]]) -> Trials:
    """The same for the network with its biases corrected, whose ranges are its own."""
    import onnx

    folder = trials.folder / "corrected"
    (folder / "ranges").mkdir(parents=True)
    network = shifted(
        onnx.load(trials.job.onnx), {name: np.array(shift, np.float32) for name, shift in shifts.items()}
    )
    place = folder / "model.onnx"
    write_whole(place, network.SerializeToString(deterministic=True))
    job = replace(trials.job, onnx=place, kept_ranges=folder / "ranges")
    fresh = replace(trials, job=job, converted=None, corrected=True)
    tell = trials.tell("auto corrected biases")
    return replace(fresh, converted=trials.backend.convert(fresh.at(job, "float"), on_progress=tell))
