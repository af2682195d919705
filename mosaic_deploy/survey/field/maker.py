"""Networks made in the toolchain ``field``, once each, and kept in the user's cache folder."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.files import moved_in
from mosaic_deploy.specs.toolchain import load_toolchain
from mosaic_deploy.survey.field.recipes import MAKER, TOOLCHAIN, Network, settling_images
from mosaic_deploy.survey.subject import made_once
from mosaic_deploy.workers.call import GIB, run_program
from mosaic_deploy.workers.environments import cache_folder, make

_TIMEOUT_S = 900.0
_MEMORY = 8 * GIB


def folder() -> Path:
    """Where the networks lie: ``mosaic-deploy/field`` in the user's cache folder."""
    return cache_folder().parent / "field"


def made(network: Network) -> Path:
    """Return the network's ONNX file, which is made where it is not there yet.

    Raises:
        ToolError: the toolchain cannot be made, or making the network crashes or takes too much; the log
            stays beside where the file would be.
        ModelError: its classes do not compete, so that no figure on it would mean anything.
    """
    # The name of the file is the name of the model in every report.
    place = folder() / network.digest() / f"{network.name}.onnx"
    return made_once(place, lambda: _make(network, place))


def _make(network: Network, place: Path) -> None:
    python = make(load_toolchain(TOOLCHAIN).environment())
    with tempfile.TemporaryDirectory(prefix="mosaic-field-") as scratch, moved_in(place) as (part,):
        request = Path(scratch) / "request.json"
        asked = {
            "network": network.model_dump(mode="json"),
            "images": [str(path) for path in settling_images()],
            "out": str(part),
            "facts": str(place.with_suffix(".json")),
        }
        request.write_text(json.dumps(asked), encoding="utf-8")
        try:
            run_program(
                [str(python), "-I", str(MAKER), str(request)],
                timeout_s=_TIMEOUT_S,
                log=place.with_suffix(".log"),
                cwd=Path(scratch) / "work",
                memory_bytes=_MEMORY,
            )
        except ToolError as err:
            if "classes do not compete" in str(err):
                raise ModelError(f"{network.name}: {err}") from err
            raise ToolError(f"{network.name} cannot be made: {err}") from err
