"""The training loop: budgeted or by epochs, resumable, with evaluations on the averaged weights."""

from __future__ import annotations

import ctypes
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mosaic_deploy.accuracy.metrics import confusion, iou, mean_iou
from mosaic_deploy.datasets.samples import Dataset
from mosaic_deploy.errors import DataError, UsageError
from mosaic_deploy.files import write_whole
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.zoo.network import Network
from mosaic_deploy.zoo.train import state
from mosaic_deploy.zoo.train.batches import Batches, Pool
from mosaic_deploy.zoo.train.config import TrainConfig
from mosaic_deploy.zoo.train.losses import class_weights, segmentation_loss
from mosaic_deploy.zoo.weights import save_weights


@dataclass(frozen=True, slots=True)
class Run:
    """Everything one training run works with."""

    net: Network
    contract: Contract
    config: TrainConfig
    pools: Sequence[Pool]
    evaluate_on: Mapping[str, Dataset]
    folder: Path
    report: OnProgress
    """Called with the progress in [0, 1] and a line of figures after every step."""


def keep_memory() -> None:
    """Let glibc keep freed activations instead of returning them to the kernel after every step.

    Without this a third of a CPU step goes into page faults (``benchmarks/train_step.py``).
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        top_pad, trim_threshold, mmap_max = -2, -1, -4
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(top_pad, 256 * 2**20)


def train(run: Run) -> dict[str, float]:
    """Train until the budget is spent; returns the last evaluation's figures.

    ``weights.safetensors`` in the run's folder holds the averaged weights, ``log.csv`` and ``curve.png``
    the history. A run that was stopped goes on from its checkpoint. Raises ``UsageError`` where the
    folder belongs to another configuration.
    """
    keep_memory()
    config, device = run.config, torch.device("cuda" if torch.cuda.is_available() else "cpu")
    _claim(run.folder, config)
    torch.manual_seed(config.seed)
    net = run.net.to(device).to(memory_format=torch.channels_last)
    averaged = {name: t.detach().clone() for name, t in net.state_dict().items()}
    optimiser = state.make_optimiser(net, config)
    progress = _resume(run.folder, net, averaged, optimiser)
    weights = torch.from_numpy(_weights(run.pools, config)).to(device)
    batches = Batches(run.pools, config, run.contract, seed=config.seed + progress.step)
    steps = _steps(run.pools, config)
    figures = progress.history[-1] if progress.history else {}
    evaluated, losses, since = progress.seconds, [], time.monotonic()
    try:
        while (done := _done(progress, config, steps)) < 1.0:
            for group in optimiser.param_groups:
                group["lr"] = config.rate(done)
            x, truth = (t.to(device, non_blocking=True) for t in batches.take(done))
            losses.append(_step(run, net, optimiser, (x, truth), weights))
            _average(averaged, net, config.ema, progress.step)
            progress.step += 1
            now = time.monotonic()
            progress.seconds, since = progress.seconds + now - since, now
            run.report(done, f"step {progress.step} loss {np.mean(losses[-50:]):.3f}")
            if progress.seconds - evaluated >= config.evaluate_every:
                figures = _evaluate(run, net, averaged, progress, float(np.mean(losses)))
                _checkpoint(run.folder, net, averaged, optimiser, progress)
                evaluated, losses, since = progress.seconds, [], time.monotonic()
        if losses or not figures:
            figures = _evaluate(run, net, averaged, progress, float(np.mean(losses or [math.nan])))
            _checkpoint(run.folder, net, averaged, optimiser, progress)
    except KeyboardInterrupt:
        _checkpoint(run.folder, net, averaged, optimiser, progress)
        raise
    finally:
        batches.close()
    return figures


def _claim(folder: Path, config: TrainConfig) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path, settings = folder / "config.json", json.loads(json.dumps(asdict(config)))
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(k for k in settings if before.get(k) != settings[k])
        if changed:
            raise UsageError(
                f"{folder}: its run has other settings ({', '.join(changed)}): "
                "repeat them to resume it, or choose another --out"
            )
    write_whole(path, json.dumps(settings, indent=2) + "\n")


def _resume(
    folder: Path, net: nn.Module, averaged: dict[str, Tensor], optimiser: torch.optim.Optimizer
) -> state.Progress:
    found = state.restore(folder)
    if found is None:
        return state.Progress()
    parts, progress = found
    try:
        net.load_state_dict(parts["net"])
    except (RuntimeError, KeyError) as err:
        raise DataError(f"{folder}: the checkpoint is of another network: choose another --out") from err
    for name, tensor in parts["averaged"].items():
        averaged[name].copy_(tensor)
    state.restore_optimiser(optimiser, parts["optimiser"])
    return progress


def _weights(pools: Sequence[Pool], config: TrainConfig) -> NDArray[np.float32]:
    pixels = np.sum([p.share * p.pixels / len(p.samples) for p in pools], axis=0)
    among = np.sum([p.share * p.in_images_of / len(p.samples) for p in pools], axis=0)
    return class_weights(pixels, among, config.weighting)


def _steps(pools: Sequence[Pool], config: TrainConfig) -> int:
    return max(1, round(config.epochs * sum(len(p.samples) for p in pools) / config.batch))


def _done(progress: state.Progress, config: TrainConfig, steps: int) -> float:
    if config.minutes is not None:
        return progress.seconds / (60 * config.minutes)
    return progress.step / steps


def _step(
    run: Run,
    net: Network,
    optimiser: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    weights: Tensor,
) -> float:
    x, truth = batch
    net.train()
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        outputs = net.training_scores(x)
    half, wanted = (truth.shape[1] // 2, truth.shape[2] // 2), truth[:, 1::2, 1::2]
    losses = []
    for output in outputs:
        scores = interpolate(output.float(), size=half, mode="bilinear", align_corners=False)
        losses.append(segmentation_loss(scores, wanted, weights=weights, jaccard=run.config.jaccard))
    loss = torch.stack(losses).sum()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())


@torch.no_grad()
def _average(averaged: dict[str, Tensor], net: nn.Module, decay: float, step: int) -> None:
    rate = 1 - min(decay, (1 + step) / (10 + step))
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            averaged[name].lerp_(tensor, rate)
        else:
            averaged[name].copy_(tensor)


def _evaluate(
    run: Run, net: Network, averaged: dict[str, Tensor], progress: state.Progress, loss: float
) -> dict[str, float]:
    """Measure the averaged weights, log the figures and keep the weights."""
    kept = {name: t.detach().clone() for name, t in net.state_dict().items()}
    net.load_state_dict(averaged)
    row: dict[str, float] = {
        "step": progress.step,
        "seconds": round(progress.seconds, 1),
        "loss": loss,
    }
    try:
        for name, dataset in run.evaluate_on.items():
            counts = evaluate(run, net, dataset)
            row[f"miou_{name}"] = mean_iou(counts, dataset.labels.scored)
            for index, ratio in zip(dataset.labels.scored, iou(counts, dataset.labels.scored), strict=True):
                row[f"{name}_{dataset.labels.classes[index].replace(' ', '_')}"] = float(ratio)
        save_weights(net, run.folder / "weights.safetensors")
    finally:
        net.load_state_dict(kept)
    progress.history.append(row)
    write_history(run.folder, progress.history)
    return row


@torch.no_grad()
def evaluate(run: Run, net: Network, dataset: Dataset) -> NDArray[np.int64]:
    """Confusion of the network on whole images: fed as the contract says, scored at their own size."""
    net.eval()
    device = next(net.parameters()).device
    contract = run.contract.model_copy(update={"output": "lowres"})
    classes = len(dataset.labels.classes)
    counts = np.zeros((classes, classes), np.int64)
    for index in range(len(dataset)):
        sample = dataset[index]
        if sample.label is None:
            raise DataError(f"{dataset.name}: {sample.name} has no labels to evaluate on")
        size = (sample.image.shape[0], sample.image.shape[1])
        x = torch.from_numpy(contract.prepare(sample.image)).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            scores = net.scores(x).float().cpu().numpy()
        counts += confusion(sample.label, contract.class_map(scores, size), classes=classes)
    return counts


def write_history(folder: Path, history: list[dict[str, float]]) -> None:
    """Write ``log.csv`` and, once there are two rows, ``curve.png`` (loss and mIoU against minutes)."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    lines = [",".join(columns)]
    lines += [",".join(f"{row.get(c, math.nan):.6g}" for c in columns) for row in history]
    write_whole(folder / "log.csv", "\n".join(lines) + "\n")
    if len(history) > 1:
        from mosaic_deploy.zoo.train.curve import plot

        plot(history, folder / "curve.png")


def _checkpoint(
    folder: Path,
    net: nn.Module,
    averaged: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    progress: state.Progress,
) -> None:
    parts = {
        "net": net.state_dict(),
        "averaged": averaged,
        "optimiser": state.optimiser_tensors(optimiser),
    }
    state.save(folder, parts, progress)
