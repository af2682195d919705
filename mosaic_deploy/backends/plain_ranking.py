"""What 8 bits of each tensor do, on ONNX Runtime's CPU: for runtimes whose own graph takes no switches.

They round at about the same places, so about the same tensors hurt. How much is lost in the end, the runtime
itself says.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mosaic_deploy.backends.protocol import BuildJob, RankingTerms
from mosaic_deploy.backends.reference import TOOLCHAIN
from mosaic_deploy.quantize import cpu_style
from mosaic_deploy.quantize.boundary import raw_pixels
from mosaic_deploy.quantize.mixed import Finer
from mosaic_deploy.specs.recipe import Method
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.specs.toolchain import toolchain_python
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_RANK_S = 3600.0
_MEMORY = 8 * GIB


class FloatIslands:
    """What backends have in common that leave single operators in float; see ``protocol.MixedBackend``."""

    def lifts_to(self, target: TargetSpec) -> Finer | None:  # noqa: ARG002  # the protocol's
        """``float``: these runtimes have few kernels for integers of 16 bits."""
        return "float"

    @property
    def methods(self) -> tuple[Method, ...]:
        """All that do not choose among others."""
        return ("percentile", "entropy", "mse", "minmax")

    @property
    def corrects_biases(self) -> bool:
        """They do not."""
        return False

    def trial(self, job: BuildJob) -> BuildJob:
        """The whole build: there is one file."""
        return job

    def rank(self, job: BuildJob, terms: RankingTerms, *, on_progress: OnProgress) -> Mapping[str, object]:
        """Rank on ONNX Runtime, which rounds at the same places or nearly so."""
        return rank(job, terms, on_progress=on_progress)


def rank(job: BuildJob, terms: RankingTerms, *, on_progress: OnProgress) -> Mapping[str, object]:
    """Rank the activations of ``job.onnx``, or try other things on it; see ``protocol.MixedBackend.rank``."""
    request = {**asked(job, Path("unused")), **terms.to_json()}
    folder = Path(tempfile.mkdtemp(prefix="rank-", dir=job.space.scratch.resolve()))
    log = job.space.logs.resolve() / "rank.log"
    interpreter = toolchain_python(TOOLCHAIN)
    function = cpu_style.methods if terms.methods else cpu_style.rank
    function = cpu_style.biases if terms.elsewhere else function
    made = call(
        Call(function, request, _RANK_S, _MEMORY, log, folder, name="rank", interpreter=interpreter),
        on_progress=on_progress,
    )
    return made.result


def asked(job: BuildJob, qdq: Path) -> JsonObject:
    """The request of ``qdq.quantize_as`` for a build, which writes to ``qdq``."""
    return {
        "onnx": str(job.onnx.resolve()),
        "out": str(qdq),
        "layout": job.layout,
        "wanted": job.contract.layout,
        "calibration": [str(path.resolve()) for path in job.calibration],
        "recipe": job.recipe.model_dump(mode="json", by_alias=True),
        "ranges": {name: list(ends) for name, ends in job.ranges.items()},
        "pixels": raw_pixels(job.contract),
        "threshold": job.contract.threshold,
        "threads": len(os.sched_getaffinity(0)),
        "description": dict(job.description),
        "mixed": None if job.mixed is None else job.mixed.to_json(),
        "kept_ranges": None if job.kept_ranges is None else str(job.kept_ranges.resolve()),
    }
