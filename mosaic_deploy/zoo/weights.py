"""Weights on disk: safetensors files, never pickles, checked name by name before they enter a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError
from mosaic_deploy.files import moved_in

if TYPE_CHECKING:
    from torch import Tensor, nn

_NOTES = "mosaic_deploy"  # the one key of the file's metadata: several would be written in random order
_COUNTER = "num_batches_tracked"  # batch norms count their training steps; nothing reads it here
_NAMED = 3  # how many wrong names an error lists


def save_weights(
    net: nn.Module, path: Path, *, half: bool = True, notes: Mapping[str, object] | None = None
) -> None:
    """Write the network's weights, replacing ``path`` as a whole; equal weights give equal bytes.

    Args:
        net: any network; its batch norms' counters of training steps are left out.
        path: the file, by custom ``*.safetensors``.
        half: whether convolution weights are rounded to float16. Vectors (batch norms, biases) stay
            float32: they are 2 % of the numbers, and the more sensitive ones.
        notes: what JSON can hold, to be read back with :func:`notes_of`.

    Raises:
        ModelError: a weight is not finite, or lies outside float16's range.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {}
    for name, tensor in _weights(net).items():
        kept = tensor.detach().to("cpu", torch.float16 if half and tensor.ndim > 1 else torch.float32)
        if not torch.isfinite(kept).all():
            why = "too large for float16, or not finite" if half else "not finite"
            raise ModelError(f"{path}: {name} is {why}: nothing was written")
        tensors[name] = kept.contiguous().clone()
    with moved_in(path) as (part,):
        save_file(tensors, part, metadata={_NOTES: json.dumps(dict(notes or {}), sort_keys=True)})


def load_weights(net: nn.Module, path: Path) -> None:
    """Fill the network with a file's weights, float16 widened to float32; all of them or none.

    Raises:
        ModelError: the file is missing, damaged or of another network, or holds numbers that are not
            finite.
    """
    import torch

    wanted = _weights(net)
    found = _read(path, {name: tuple(tensor.shape) for name, tensor in wanted.items()})
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(found[name])


def notes_of(path: Path) -> dict[str, object]:
    """Read what :func:`save` was told to note; empty for a file that another program wrote.

    Raises:
        ModelError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            notes = json.loads((file.metadata() or {}).get(_NOTES, "{}"))
    except (OSError, SafetensorError, ValueError, RecursionError) as err:
        raise _damaged(path, err) from err
    return notes if isinstance(notes, dict) else {}


def _weights(net: nn.Module) -> dict[str, Tensor]:
    state = net.state_dict()
    return {name: t for name, t in state.items() if not name.endswith(_COUNTER)}


def _read(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return finite float tensors of exactly these names and shapes; shapes are checked unread."""
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = {name for name in file.keys() if not name.endswith(_COUNTER)}  # noqa: SIM118  # no dict
            _check_names(path, names, set(shapes))
            for name, shape in shapes.items():
                header = file.get_slice(name)
                there, dtype = tuple(header.get_shape()), header.get_dtype()
                if there != shape:
                    raise ModelError(
                        f"{path}: {name} is {list(there)}, and the network's is {list(shape)}: "
                        "are these the weights of another configuration?"
                    )
                if dtype not in {"F16", "F32"}:
                    raise ModelError(f"{path}: {name} is {dtype}: store it as F16 or F32")
            tensors = {name: file.get_tensor(name) for name in shapes}
    except (OSError, SafetensorError) as err:
        raise _damaged(path, err) from err
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{path}: {name} holds numbers that are not finite: train again")
    return tensors


def _check_names(path: Path, there: set[str], wanted: set[str]) -> None:
    problems = []
    for what, names in (("lacks", wanted - there), ("has the unknown", there - wanted)):
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            problems.append(f"{what} {', '.join(map(repr, sorted(names)[:_NAMED]))}{more}")
    if problems:
        raise ModelError(f"{path}: {'; '.join(problems)}: are these the weights of another network?")


def _damaged(path: Path, err: Exception) -> ModelError:
    if not path.is_file():
        return ModelError(f"{path}: no such weights file")
    reason = " ".join(str(err).split())[:200]
    return ModelError(f"{path}: not a whole safetensors file ({reason}): fetch or train it again")
