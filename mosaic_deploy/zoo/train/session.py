"""A training run as the command line asks for it: a card, data sets by name, and a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import torch

from mosaic_deploy.datasets import open_data
from mosaic_deploy.datasets.samples import Dataset
from mosaic_deploy.errors import UsageError
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.zoo import build_network
from mosaic_deploy.zoo.train.batches import Pool, read_pool
from mosaic_deploy.zoo.train.config import TrainConfig, Weighting
from mosaic_deploy.zoo.train.loop import Run, train
from mosaic_deploy.zoo.weights import load_weights

if TYPE_CHECKING:
    from mosaic_deploy.workers.progress import StageProgress


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says; None leaves the default of ``TrainConfig``."""

    model: str
    data: tuple[str, ...]
    """``NAME[:DIR][*SHARE]`` each."""
    out: Path
    evaluate: tuple[str, ...] = ()
    """``NAME[:DIR]`` each; empty stands for the validation splits of ``data``."""
    epochs: float | None = None
    minutes: float | None = None
    batch: int = 8
    learning_rate: float = 2e-3
    weighting: str = "sqrt"
    init: Path | None = None
    seed: int = 0


def train_card(settings: Settings, *, progress: StageProgress) -> dict[str, float]:
    """Train the card's network; returns the last evaluation's figures.

    The run's folder ends up with ``weights.safetensors`` (averaged weights, float16), the checkpoint,
    ``config.json``, ``log.csv``, ``curve.png`` and ``data.json`` with what it was trained on.

    Raises:
        UsageError: settings that make no sense, or a folder of a run with others.
        DataError: data that cannot be used.
    """
    card = load_spec(ModelCard, settings.model)
    if card.source.factory is None:
        raise UsageError(f"{card.name}: only networks of the zoo can be trained, this is an ONNX file")
    config = _config(settings, card)
    parts = [_part(text) for text in settings.data]
    torch.manual_seed(settings.seed)
    net = build_network(card.source.factory, **card.source.switches, head="lowres")
    if settings.init is not None:
        load_weights(net, settings.init)
    pools = [_pool(name, share, card, progress) for name, share in parts]
    run = Run(
        net=net,
        contract=card.contract,
        config=config,
        pools=pools,
        evaluate_on=_evaluations(settings.evaluate or tuple(name for name, _ in parts), card),
        folder=settings.out,
        report=lambda share, figures: progress("train", min(share, 1.0), figures),
    )
    figures = train(run)
    record = {"data": list(settings.data), "samples": [len(pool.samples) for pool in pools]}
    (settings.out / "data.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return figures


def _config(settings: Settings, card: ModelCard) -> TrainConfig:
    if settings.weighting not in get_args(Weighting):
        raise UsageError(f"no weighting '{settings.weighting}': {', '.join(get_args(Weighting))}")
    if settings.epochs is not None and settings.minutes is not None:
        raise UsageError("--epochs and --minutes exclude each other: give one")
    if settings.batch < 2 or settings.learning_rate <= 0:
        raise UsageError("--batch must be at least 2 (batch norm), and --learning-rate above 0")
    if (settings.epochs or 1) <= 0 or (settings.minutes or 1) <= 0:
        raise UsageError("--epochs and --minutes must be above 0")
    sides = (card.contract.height, card.contract.width)
    if any(side % 32 for side in sides):
        raise UsageError(f"{card.name}: trains on sides that are multiples of 32, not {sides}")
    config = TrainConfig(
        size=sides,
        batch=settings.batch,
        learning_rate=settings.learning_rate,
        weighting=settings.weighting,  # type: ignore[arg-type]  # one of them, seen above
        minutes=settings.minutes,
        seed=settings.seed,
    )
    return config if settings.epochs is None else replace(config, epochs=settings.epochs)


def _part(text: str) -> tuple[str, float]:
    name, star, share = text.partition("*")
    try:
        value = float(share) if star else 1.0
    except ValueError as err:
        raise UsageError(f"--data {text!r}: the share after * must be a number") from err
    if value <= 0:
        raise UsageError(f"--data {text!r}: the share after * must be above 0")
    return name, value


def _pool(name: str, share: float, card: ModelCard, progress: StageProgress) -> Pool:
    dataset = open_data(name, split="train")
    card.contract.require(dataset.labels, dataset=dataset.name)
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress("read", done / len(dataset), dataset.name)

    return read_pool(dataset, share, on_progress=tick)


def _evaluations(names: tuple[str, ...], card: ModelCard) -> dict[str, Dataset]:
    found: dict[str, Dataset] = {}
    for name in names:
        dataset = open_data(name, split="val")
        card.contract.require(dataset.labels, dataset=dataset.name)
        found[dataset.name] = dataset
    return found
