"""Weights survive the disk, and files that are not what they should be are named, not loaded."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mosaic_deploy.errors import ModelError
from mosaic_deploy.zoo import weights
from mosaic_deploy.zoo.weights import load_weights, save_weights


def network(seed: int) -> nn.Sequential:
    """Make a small net whose batch norm has statistics of its own."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    net(torch.randn(2, 3, 8, 8))
    return net.eval()


def numbers(net: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}


@pytest.mark.parametrize("half", [True, False], ids=["float16", "float32"])
def test_what_is_saved_is_loaded(half: bool, tmp_path: Path) -> None:
    path, net, other = tmp_path / "w.safetensors", network(0), network(1)
    save_weights(net, path, half=half)
    load_weights(other, path)
    for name, tensor in numbers(other).items():
        original = net.state_dict()[name]
        assert tensor.dtype == torch.float32
        rounded = original.half().float() if half and original.ndim > 1 else original
        assert torch.equal(tensor, rounded), name
    kinds = {t.dtype for t in load_file(path).values()}
    assert kinds == ({torch.float16, torch.float32} if half else {torch.float32})


def test_equal_weights_give_equal_bytes_and_no_other_files(tmp_path: Path) -> None:
    notes = {"b": 1, "a": [2.5, "x"], "c": {"d": True}}
    for name in ("one.safetensors", "two.safetensors"):
        save_weights(network(0), tmp_path / name, notes=notes)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    assert weights.notes_of(tmp_path / "one.safetensors") == notes
    assert len(list(tmp_path.iterdir())) == 2


def test_files_of_other_programs_have_no_notes(tmp_path: Path) -> None:
    save_file(numbers(network(0)), tmp_path / "w.safetensors")
    assert weights.notes_of(tmp_path / "w.safetensors") == {}


def test_counters_of_training_steps_are_welcome_and_ignored(tmp_path: Path) -> None:
    save_file(network(0).state_dict(), tmp_path / "w.safetensors")
    load_weights(network(1), tmp_path / "w.safetensors")


def drop(tensors: dict[str, Tensor]) -> None:
    del tensors["0.weight"]


def drop_all(tensors: dict[str, Tensor]) -> None:
    tensors.clear()
    tensors["other"] = torch.zeros(1)


def add(tensors: dict[str, Tensor]) -> None:
    tensors["3.weight"] = torch.zeros(2)


def reshape(tensors: dict[str, Tensor]) -> None:
    tensors["0.weight"] = torch.zeros(4, 3, 5, 5)


def integers(tensors: dict[str, Tensor]) -> None:
    tensors["2.bias"] = torch.zeros(2, dtype=torch.int64)


def not_a_number(tensors: dict[str, Tensor]) -> None:
    tensors["1.running_var"][1] = torch.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(drop, "lacks '0.weight': ", id="missing"),
        pytest.param(drop_all, r"lacks .* and 4 more; has the unknown 'other'", id="another net"),
        pytest.param(add, "unknown '3.weight'", id="surplus"),
        pytest.param(reshape, r"0.weight is \[4, 3, 5, 5\], and the network's is \[4, 3, 3, 3\]", id="shape"),
        pytest.param(integers, "2.bias is I64", id="type"),
        pytest.param(not_a_number, "1.running_var holds numbers that are not finite", id="nan"),
    ],
)
def test_wrong_contents_are_named_and_change_nothing(
    change: Callable[[dict[str, Tensor]], None], message: str, tmp_path: Path
) -> None:
    net, path = network(1), tmp_path / "w.safetensors"
    before, tensors = numbers(net), numbers(network(0))
    change(tensors)
    save_file(tensors, path)
    with pytest.raises(ModelError, match=message) as caught:
        load_weights(net, path)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(before[k], v) for k, v in numbers(net).items())


def damaged(good: bytes) -> list[tuple[str, bytes]]:
    endless = (2**62).to_bytes(8, "little") + good[8:]
    header = json.dumps({"0.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    return [
        ("empty", b""),
        ("half", good[: len(good) // 2]),
        ("one byte short", good[:-1]),
        ("noise", bytes(range(256)) * 64),
        ("endless header", endless),
        ("lying header", len(header).to_bytes(8, "little") + header),
        ("deep header", (200_000).to_bytes(8, "little") + b"[" * 200_000),
        ("a pickle", pickle.dumps({"0.weight": [1.0]})),
    ]


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path, net = tmp_path / "w.safetensors", network(0)
    save_weights(net, path)
    for what, content in damaged(path.read_bytes()):
        path.write_bytes(content)
        for read in (lambda: load_weights(net, path), lambda: weights.notes_of(path)):
            with pytest.raises(ModelError, match="not a whole safetensors file") as caught:
                read()
            assert "\n" not in str(caught.value), what


@pytest.mark.parametrize("name", ["missing.safetensors", "."])
def test_a_path_that_is_no_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such weights file"):
        load_weights(network(0), tmp_path / name)


@pytest.mark.parametrize("value", [1e6, torch.inf], ids=["too large for half", "infinite"])
def test_what_cannot_be_stored_leaves_the_old_file(value: float, tmp_path: Path) -> None:
    path, net = tmp_path / "w.safetensors", network(0)
    save_weights(net, path)
    before = path.read_bytes()
    with torch.no_grad():
        net.get_parameter("0.weight")[0, 0, 0, 0] = value
    with pytest.raises(ModelError, match=r"0.weight is too large for float16, or not finite"):
        save_weights(net, path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
