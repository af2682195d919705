"""Files that other tools made, opened so that their own runtimes run them like what is built here.

What such a file takes is said, in this order, by the description that a build left in it, by its own
metadata, and by the contract that the caller has for the reference; its shapes and types always count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mosaic_deploy.artifact.basis import Basis
from mosaic_deploy.artifact.file_kinds import Runner, read_file
from mosaic_deploy.artifact.manifest import NetworkFacts
from mosaic_deploy.artifact.open import open_artifact
from mosaic_deploy.backends.protocol import CompiledModel, WorkDir
from mosaic_deploy.errors import ModelError
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_BYTES = ("uint8", "int8")
_PIXEL_GRIDS = ((1.0, 0.0), (1 / 255, 0.0), (1 / 127.5, 127.5))
"""Steps and zero points that 0 to 255, 0 to 1 and -1 to 1 have in bytes."""
_NEAR_STEP = 0.03


@dataclass(frozen=True, slots=True)
class Stated:
    """What a person says of a file's input; None where nothing is said."""

    mean: tuple[float, float, float] | None = None
    scale: tuple[float, float, float] | None = None
    colour: str | None = None
    resize: str | None = None
    threshold: float | None = None

    @property
    def fields(self) -> dict[str, object]:
        """What is said, by the contract's names."""
        said = {name: getattr(self, name) for name in ("mean", "scale", "colour", "resize", "threshold")}
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file or folder that can be run."""

    path: Path
    contract: Contract
    contract_from: str
    """Who said what it takes, in words."""
    built: CompiledModel
    runner: Runner


def open_foreign(
    path: Path, *, basis: Basis | None, stated: Stated, space: WorkDir, on_progress: OnProgress
) -> Foreign:
    """Open a file or an artifact's folder.

    Args:
        path: what to open.
        basis: for what the file does not say itself; None where nobody says anything.
        stated: what a person says, which counts more than all else.
        space: for the child process that reads it, and for copies; made by the caller, of this file alone.
        on_progress: hears of what takes long: a DLC is compiled.

    Raises:
        ModelError: it is of no known kind, damaged, or does not fit the contract.
        ToolError: what runs it is missing.
    """
    if path.is_dir():
        opened = open_artifact(path)
        contract = _changed(opened.contract, stated.fields, path)
        return Foreign(path, contract, "its manifest", opened.built, opened.load_backend())
    read = read_file(path, space, on_progress)
    found = read.found
    described = _description(path, found)
    if described is not None:
        contract, facts = described
        said = "the description that a build left in it"
    elif basis is None:
        raise ModelError(
            f"{path}: nothing says what its classes are: name a card with --contract, or put classes.txt "
            "beside the data's images/"
        )
    else:
        contract, facts, said = _derived(path, basis, found, stated)
    contract = _changed(contract, stated.fields, path)
    said = f"the options, else {said}" if stated.fields else said
    folder = space.scratch / "file"
    folder.mkdir()
    return Foreign(path, contract, said, read.make(path, {**found, **facts}, folder), read.runner)


def _description(path: Path, found: JsonObject) -> tuple[Contract, JsonObject] | None:
    """Contract and facts out of what a build wrote into the file; None where it wrote nothing."""
    if not found.get("description"):
        return None
    try:
        record = json.loads(found["description"])
        stated = {key: value for key, value in record["contract"].items() if key != "digest"}
        contract = Contract.model_validate(stated)
        facts = {role: {**found[role], **record[role]} for role in ("input", "output")}
        NetworkFacts.model_validate(facts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise ModelError(f"{path}: what mosaic-deploy wrote into it is damaged: build it again") from err
    if found["input"]["shape"] and list(facts["input"]["shape"]) != list(found["input"]["shape"]):
        raise ModelError(f"{path}: what mosaic-deploy wrote into it is of another network: build it again")
    return contract, facts


def _derived(path: Path, basis: Basis, found: JsonObject, stated: Stated) -> tuple[Contract, JsonObject, str]:
    """Contract of the basis, changed to what the file's shapes, types and metadata say."""
    base = basis.contract
    source, result = dict(found["input"]), dict(found["output"])
    change: dict[str, object] = {}
    said = basis.said_by
    mean, scale = (_triple(found.get(name)) for name in ("mean", "scale"))
    if mean is not None and scale is not None:
        change |= {"mean": mean, "scale": scale}
        said = f"its own metadata, else {basis.said_by}"
    labels = found.get("classes")
    if labels and len(labels) != len(base.classes):
        raise ModelError(
            f"{path}: its metadata lists {len(labels)} classes, {len(base.classes)} are expected"
        )
    height, width, layout = _sides(path, source, basis)
    change |= {"height": height, "width": width, "layout": layout}
    change["dtype"] = _dtype(
        path, base, source, normalised=bool({"mean", "scale"} & {*change, *stated.fields})
    )
    if change["dtype"] == "uint8" and source["dtype"] == "int8":
        source["pixel_offset"] = -128
    if change["dtype"] == "uint8" and source["dtype"] == "uint8":
        source["pixel_offset"] = 0
    source["shape"] = list(_shape(layout, height, width))
    change |= _output(path, base, result, (height, width))
    return _changed(base, change, path), {"input": source, "output": result}, said


def _sides(path: Path, source: JsonObject, basis: Basis) -> tuple[int, int, str]:
    shape = [int(side) for side in source["shape"]]
    if len(shape) != 4 or shape[0] not in (0, 1) or 3 not in (shape[1], shape[3]):
        raise ModelError(f"{path}: input '{source['name']}' {shape}: one image of three colours is expected")
    layout = "NHWC" if shape[3] == 3 and shape[1] != 3 else "NCHW"
    sides = shape[1:3] if layout == "NHWC" else shape[2:]
    if 0 in sides and not basis.sized:
        raise ModelError(
            f"{path}: input '{source['name']}' {shape} is of no fixed size: name a card with --contract"
        )
    own = (basis.contract.height, basis.contract.width)
    height, width = (side or other for side, other in zip(sides, own, strict=True))
    return height, width, layout


def _shape(layout: str, height: int, width: int) -> tuple[int, ...]:
    return (1, height, width, 3) if layout == "NHWC" else (1, 3, height, width)


def _dtype(path: Path, base: Contract, source: JsonObject, *, normalised: bool) -> str:
    """Whether pixels are fed as they are."""
    if source["dtype"] in _BYTES and source["scale"] is None:
        return "uint8"
    if base.dtype == "uint8" and not normalised:
        if source["dtype"] in _BYTES and _holds_pixels(source):
            return "uint8"
        step, zero = source["scale"], source["zero_point"]
        grid = "" if step is None else f" of step {step:.4g}, zero at {zero}"
        raise ModelError(
            f"{path}: its input is {source['dtype']}{grid}, and nothing says how pixels become that: say "
            "--input-mean and --input-scale"
        )
    return "float32"


def _holds_pixels(source: JsonObject) -> bool:
    """Whether the integers of a grid are most likely the pixels themselves."""
    zero = source["zero_point"] + (128 if source["dtype"] == "int8" else 0)
    return any(
        abs(source["scale"] / step - 1) < _NEAR_STEP and abs(zero - place) <= 1
        for step, place in _PIXEL_GRIDS
    )


def _output(path: Path, base: Contract, result: JsonObject, size: tuple[int, int]) -> dict[str, object]:
    shape = [int(side) for side in result["shape"]]
    if len(shape) == 4 and 0 not in shape[1:]:
        for sides, count in ((shape[2:], shape[1]), (shape[1:3], shape[3])):
            if count == len(base.classes) or (count == 1 and base.threshold is not None):
                whole = tuple(sides) == size
                lone = None if count > 1 else base.threshold
                return {"output": "logits" if whole else "lowres", "threshold": lone}
    elif len(shape) == 4:  # sides that are not fixed: as many numbers as the reference gives
        return {}
    if len([side for side in shape if side != 1]) <= 2:
        return {"output": "classmap"}
    raise ModelError(
        f"{path}: output '{result['name']}' {shape} is neither scores of "
        f"{len(base.classes)} classes nor a class map"
    )


def _changed(contract: Contract, change: Mapping[str, object], path: Path) -> Contract:
    try:
        return Contract.model_validate({**contract.model_dump(), **change})
    except ValidationError as err:
        problem = err.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ModelError(f"{path}: {where}: {problem['msg']}") from err


def _triple(values: Any) -> tuple[float, ...] | None:
    if not values or len(values) not in (1, 3):
        return None
    return tuple(values) * (3 if len(values) == 1 else 1)
