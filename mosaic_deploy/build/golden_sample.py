"""An artifact's golden sample, made of what a build ran, and the page that says how an app does the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mosaic_deploy.artifact import golden
from mosaic_deploy.artifact.integrate.page import Integration, write_page
from mosaic_deploy.backends.protocol import CompiledModel, File
from mosaic_deploy.build.candidate_run import Ran
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import Pixels


def write_sample(
    built: CompiledModel, contract: Contract, ran: Ran, pixels: Pixels, prepared: Path, name: str
) -> tuple[File, ...]:
    """Write both into the artifact's folder.

    Args:
        built: the network.
        contract: the artifact's.
        ran: what running it gave.
        pixels: the first image that it ran on.
        prepared: the same as the network gets it, ``.npy``.
        name: the artifact's, MODEL-TARGET-RECIPE.
    """
    _, output = ran.first
    sample = golden.Sample(pixels, np.load(prepared, allow_pickle=False), output)
    facts = {**built.facts, **ran.run.facts}
    made = CompiledModel(built.folder, built.files, built.steps, facts)
    files = golden.write_golden(sample, built.folder, contract=contract, facts=facts)
    paths = tuple(file.path for file in files)
    page = Integration(name, made, contract, str(facts["ran_on"]), paths)
    return (*files, *write_page(page, built.folder))
