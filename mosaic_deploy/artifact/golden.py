"""The golden sample of an artifact: one image, the input made of it, and what the target's runtime gave.

    golden/image.npy    (height, width, 3) uint8 RGB, at the network's size: what an app's resize gives
    golden/input.npy    that as the file takes it: layout, type and numbers are the file's
    golden/output.npy   what the runtime made of it, as the file gives it
    golden/classes.npy  (height, width) uint8 class ids, by the contract

An app that gets the last from the first feeds the network rightly; where it does not, the files between tell
which step is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.artifact.stored import stored_input, stored_output
from mosaic_deploy.backends.protocol import File
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import Pixels

FOLDER = "golden"
KIND = "golden"
OUTPUT_BYTES = 32 << 20
"""A larger output is left out: scores of every class for every pixel of a large image."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image on its way through the network, as a build saw it."""

    image: Pixels
    """(H, W, 3) RGB, of any size."""
    prepared: NDArray[Any]
    """What ``Contract.prepare`` made of it."""
    output: NDArray[Any]
    """What the backend's run gave: dequantised where it gives integers."""


def write_golden(
    sample: Sample, folder: Path, *, contract: Contract, facts: Mapping[str, Any]
) -> tuple[File, ...]:
    """Write the four files into ``folder / golden``.

    Args:
        sample: the image.
        folder: the artifact's.
        contract: the artifact's.
        facts: what the backend states of the network: ``input`` and ``output``.

    Returns:
        The files; without the output where it has more than ``OUTPUT_BYTES``.

    Raises:
        ModelError: input or output are not what contract and facts state.
    """
    plain = contract.model_copy(update={"dtype": "uint8", "colour": "RGB", "layout": "NHWC"})
    arrays = {
        "image": plain.prepare(sample.image)[0],
        "input": stored_input(sample.prepared, facts["input"]),
        "output": stored_output(sample.output, facts["output"]),
        "classes": at_network_size(contract, sample.output),
    }
    place = folder / FOLDER
    place.mkdir()
    files = []
    for name, values in arrays.items():
        if name != "output" or values.nbytes <= OUTPUT_BYTES:
            np.save(place / f"{name}.npy", np.ascontiguousarray(values), allow_pickle=False)
            files.append(File(f"{FOLDER}/{name}.npy", KIND))
    return tuple(files)


def at_network_size(contract: Contract, output: NDArray[Any]) -> Pixels:
    """Class ids at the input's own size, padding included: what an app has before it draws."""
    own = (contract.height, contract.width)
    return contract.model_copy(update={"resize": "stretch"}).class_map(output, own)
