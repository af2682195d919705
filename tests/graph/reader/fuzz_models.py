"""Hostile models by number: the same number from the same seeds is the same file, on every machine."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from tests.graph.reader import fuzz_attacks, fuzz_bytes, fuzz_graphs
from tests.graph.reader.fuzz_attacks import SECRET
from tests.graph.reader.fuzz_seeds import Seed

KINDS: tuple[str, ...] = (*fuzz_bytes.MUTATIONS, *fuzz_graphs.MUTATIONS, *fuzz_attacks.MUTATIONS)
"""Every class of mutation; mutant number n is of class n modulo their count."""

_STRUCTURED = {**fuzz_graphs.MUTATIONS, **fuzz_attacks.MUTATIONS}
_HEAVY = ("giants", "too many")  # of which one is enough


@dataclass(frozen=True, slots=True)
class Mutant:
    """A hostile model and the files beside it."""

    number: int
    seed: str
    kind: str
    model: bytes
    beside: Mapping[str, bytes]


def mutant(number: int, seeds: Sequence[Seed], *, run: int = 0) -> Mutant:
    """Make the mutant of a number.

    Args:
        number: 0 or more.
        seeds: sound models to start from.
        run: another series of mutants for each.
    """
    rng = random.Random(f"{run}/{number}")
    kind = KINDS[number % len(KINDS)]
    # What holds a local function is refused at once; some mutants show that it is.
    usual = [seed for seed in seeds if seed.name != "function"]
    seed = rng.choice(seeds if rng.random() < 0.1 else usual or seeds)
    if kind in fuzz_bytes.MUTATIONS:
        model = fuzz_bytes.MUTATIONS[kind](seed.model, rng)
    else:
        model = _restructured(seed.model, kind, rng)
    return Mutant(number, seed.name, kind, model, seed.beside)


def _restructured(data: bytes, kind: str, rng: random.Random) -> bytes:
    model = onnx.ModelProto.FromString(data)
    others = [name for name in _STRUCTURED if name not in _HEAVY]
    for name in (kind, *(rng.choice(others) for _ in range(rng.choice((0, 0, 0, 0, 1, 2))))):
        try:
            _STRUCTURED[name](model, rng)
        except (IndexError, ValueError, TypeError):  # the mutation before took away what this one changes
            continue
    out: bytes = model.SerializeToString()
    if rng.random() < 0.04:  # texts that are none: protobuf in Python would not write them
        for text in (b"image", b"weight", b"Relu", b"axis"):
            if rng.random() < 0.4:
                out = out.replace(text, b"\xff" + text[1:])
    return out


def write(mutant: Mutant, root: Path) -> Path:
    """Lay a mutant into ``root/home``, with links out of it and a secret beside it; returns the model."""
    home = root / "home"
    home.mkdir(parents=True, exist_ok=True)
    if not (root / SECRET).exists():
        (root / SECRET).write_bytes(bytes(4096))
    if not (home / "link.bin").is_symlink():
        (home / "link.bin").symlink_to(root / SECRET)
        (home / "loop.bin").symlink_to(home / "loop.bin")
        (home / "sub").symlink_to(root)
        os.mkfifo(home / "pipe")
    for name in ("model.onnx", "data.bin"):
        (home / name).unlink(missing_ok=True)
    for name, data in ({"data.bin": bytes(4096)} | dict(mutant.beside)).items():
        (home / name).write_bytes(data)
    (home / "model.onnx").write_bytes(mutant.model)
    return home / "model.onnx"
