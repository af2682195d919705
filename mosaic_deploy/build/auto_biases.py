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
from mosaic_deploy.quantize.equalisation import equalised
from mosaic_deploy.quantize.kept_ranges import save_ranges
from mosaic_deploy.specs.recipe import Method

BY_ITSELF = "the target's own quantiser corrects them"
PREDICTED = "no gain predicted on both"
LESS = "the other gains more"
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
    """Correct the biases, of the network as it is and equalised, and keep the better if it helps.

    Predicted with the quantisers in ONNX Runtime: it must help on images of another domain, and must not hurt
    on those that decide. Then it is built, and must be better than ``base`` on the target's own runtime.

    Raises ``MosaicError`` where the network cannot be quantised or compiled.
    """
    if trials.backend.corrects_biases:
        return Outcome(trials, None, {"kept": False, "why": BY_ITSELF, "tried": []})
    found = _predicted(trials, method, elsewhere)
    where = f"{len(elsewhere.images)} {elsewhere.what}"
    helping = [variant for variant in found["variants"] if variant["helps"]]
    if not helping:
        return Outcome(trials, None, _facts(found, where, None, ""))
    best = min(helping, key=lambda variant: sum(variant[fold]["lost"] for fold in _FOLDS))
    corrected = _corrected(trials, method, best)
    attempt = corrected.attempt(Choice(method))
    if attempt.agreement <= base.agreement:
        return Outcome(trials, attempt, _facts(found, where, best, MEASURED))
    return Outcome(corrected, attempt, _facts(found, where, best, ""))


def _predicted(trials: Trials, method: Method, elsewhere: OtherDomain) -> Mapping[str, Any]:
    def work() -> dict[str, Any]:
        images = elsewhere.prepare(trials.job.contract, trials.folder / "elsewhere")
        terms = RankingTerms(trials.deciding, (), elsewhere=images)
        job = trials.by(method, "biases")
        return dict(trials.backend.rank(job, terms, on_progress=trials.tell("auto biases")))

    return trials.record.kept(f"biases by {method}", work)


def _facts(
    found: Mapping[str, Any], where: str, best: Mapping[str, Any] | None, why: str
) -> dict[str, object]:
    """For the report; ``why`` the best of them is not kept, empty where it is."""
    tried = []
    for variant in found["variants"]:
        reason = why if variant is best else LESS if variant["helps"] else PREDICTED
        changed, away = ([found[fold]["flips"], variant[fold]["flips"]] for fold in _FOLDS)
        known = {"layers": len(variant["shifts"]), "pairs": variant["pairs"], "why": reason}
        tried.append({**known, "changed": changed, "changed_elsewhere": away})
    kept = best is not None and not why
    return {"kept": kept, "why": "", "elsewhere": where, "tried": tried}


def _corrected(trials: Trials, method: Method, variant: Mapping[str, Any]) -> Trials:
    """The same for the network with its biases corrected.

    Its ranges are those from before, where the target takes ranges of the ONNX: rounded, it gives what the
    network gave in float; in float, it is beside that by what rounding would have taken.
    """
    import onnx

    folder = trials.folder / "corrected"
    (folder / "ranges").mkdir(parents=True)
    network = onnx.load(trials.job.onnx)
    if variant["pairs"]:
        network, _ = equalised(network)
    shifts = {name: np.array(shift, np.float32) for name, shift in variant["shifts"].items()}
    place, made = folder / "model.onnx", shifted(network, shifts)
    write_whole(place, made.SerializeToString(deterministic=True))
    if len(made.graph.node) == len(network.graph.node):  # else it has tensors that none are known of
        spans = {name: (np.float32(low), np.float32(high)) for name, (low, high) in variant["ranges"].items()}
        save_ranges(folder / "ranges" / f"{method}.json", spans)
    job = replace(trials.job, onnx=place, kept_ranges=folder / "ranges")
    fresh = replace(trials, job=job, converted=None, corrected=True)
    tell = trials.tell("auto corrected biases")
    return replace(fresh, converted=trials.backend.convert(fresh.at(job, "float"), on_progress=tell))


_FOLDS = ("held_out", "elsewhere")
