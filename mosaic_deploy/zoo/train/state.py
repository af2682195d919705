"""The state of a run on disk: safetensors and JSON, replaced as a whole, never pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn, optim

from mosaic_deploy.errors import DataError
from mosaic_deploy.files import moved_in
from mosaic_deploy.zoo.train.config import TrainConfig


@dataclass(slots=True)
class Progress:
    """How far a run is; the one mutable record of training."""

    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def make_optimiser(net: nn.Module, config: TrainConfig) -> optim.Optimizer:
    """AdamW, without weight decay on biases and batch norms."""
    trained = [p for p in net.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1]},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)


def save(folder: Path, parts: Mapping[str, Mapping[str, Tensor]], progress: Progress) -> None:
    """Checkpoint: ``checkpoint.safetensors`` with every part's tensors and the progress inside.

    The progress travels in the header of the same file, so the two can never disagree.
    """
    flat = {f"{part}/{k}": v.contiguous().clone() for part, ts in parts.items() for k, v in ts.items()}
    record = {"step": progress.step, "seconds": progress.seconds, "history": progress.history}
    with moved_in(folder / "checkpoint.safetensors") as (part,):
        save_file(flat, part, metadata={"progress": json.dumps(record)})


def restore(folder: Path) -> tuple[dict[str, dict[str, Tensor]], Progress] | None:
    """Read the checkpoint back; None if there is none, ``DataError`` if it is damaged."""
    path = folder / "checkpoint.safetensors"
    if not path.is_file():
        return None
    from safetensors import SafetensorError, safe_open

    try:
        flat = load_file(path)
        with safe_open(path, framework="pt") as file:
            record = json.loads((file.metadata() or {})["progress"])
    except (SafetensorError, KeyError, ValueError, OSError) as err:
        raise DataError(f"{path}: not a checkpoint of a run ({err}): remove it to start again") from err
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in flat.items():
        part, _, key = name.partition("/")
        parts.setdefault(part, {})[key] = tensor
    return parts, Progress(record["step"], record["seconds"], record["history"])


def optimiser_tensors(optimiser: optim.Optimizer) -> dict[str, Tensor]:
    """Flatten the optimiser's state to named tensors."""
    return {
        f"{index}.{slot}": torch.as_tensor(value)
        for index, slots in optimiser.state_dict()["state"].items()
        for slot, value in slots.items()
    }


def restore_optimiser(optimiser: optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """Put flattened state back into a freshly made optimiser of the same network."""
    slots: dict[int, dict[str, Any]] = {}
    for name, tensor in flat.items():
        index, _, slot = name.partition(".")
        slots.setdefault(int(index), {})[slot] = tensor
    whole = optimiser.state_dict()
    whole["state"] = slots
    optimiser.load_state_dict(whole)
