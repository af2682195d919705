"""Blocks that networks are made of, each in a small network from PyTorch: does check say what compilers do?

    uv run python benchmarks/blocks.py OUT [--targets cpu,gpu] [--blocks glu,l2_norm]

Each network is a convolution, the block on 16 channels of 32x32 whose numbers may be negative, and a head.
``check --verify`` compiles and runs it on each target. A line per network and target on which the two differ:
cleared and refused or wrong, or the reverse. Ends with status 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # PyTorch's own name for it

WIDTH, SIDE = 16, 32
Block = Callable[[Tensor], Tensor]
Make = Callable[[], tuple[Block, tuple[nn.Module, ...]]]
"""Gives a function and the layers that it uses, new ones each time."""


def conv(inputs: int = WIDTH, outputs: int = WIDTH, kernel: int = 3, **more: Any) -> nn.Conv2d:
    """A convolution that keeps the size unless told otherwise."""
    return nn.Conv2d(inputs, outputs, kernel, **{"padding": kernel // 2, **more})


def plain(function: Block) -> Make:
    """A block without weights."""
    return lambda: (function, ())


def behind(function: Block, **more: Any) -> Make:
    """A block behind a convolution."""

    def make() -> tuple[Block, tuple[nn.Module, ...]]:
        layer = conv(**more)
        return lambda x: function(layer(x)), (layer,)

    return make


def layers(function: Callable[..., Tensor], *makers: Callable[[], nn.Module]) -> Make:
    """A block of ``x`` and layers."""

    def make() -> tuple[Block, tuple[nn.Module, ...]]:
        made = tuple(maker() for maker in makers)
        return lambda x: function(x, *made), made

    return make


def halves(join: Callable[[Tensor, Tensor], Tensor]) -> Block:
    """What a block makes of the two halves of its channels."""

    def joined(x: Tensor) -> Tensor:
        first, second = x.chunk(2, 1)
        return join(first, second)

    return joined


def up(x: Tensor, mode: str = "bilinear", **more: Any) -> Tensor:
    """Back to the block's size."""
    return F.interpolate(x, size=(SIDE, SIDE), mode=mode, **more)


def attention(x: Tensor, scores: nn.Module) -> Tensor:
    """Every pixel attends to all others."""
    query, key, value = scores(x).flatten(2).chunk(3, 1)
    shares = (query.transpose(1, 2) @ key / WIDTH**0.5).softmax(-1)
    attended: Tensor = shares @ value.transpose(1, 2)
    return x + attended.transpose(1, 2).reshape(x.shape)


def windows(x: Tensor, scores: nn.Module) -> Tensor:
    """Pixels attend within shifted windows of 8x8, masked; Swin, https://arxiv.org/abs/2103.14030."""
    rolled = torch.roll(x, (-4, -4), (2, 3)).view(1, WIDTH, 4, 8, 4, 8)
    parts = rolled.permute(0, 2, 4, 3, 5, 1).reshape(16, 64, WIDTH)
    query, key, value = scores(parts).reshape(16, 64, 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4).unbind(0)
    alike = (query @ key.transpose(-2, -1)).reshape(1, 16, 2, 64, 64) + MASK
    mixed = (alike.reshape(16, 2, 64, 64).softmax(-1) @ value).transpose(1, 2).reshape(1, 4, 4, 8, 8, WIDTH)
    return torch.roll(mixed.permute(0, 5, 1, 3, 2, 4).reshape(x.shape), (4, 4), (2, 3))


def across_channels(x: Tensor, scores: nn.Module) -> Tensor:
    """Channels attend to channels, normalised, two heads; XCiT, https://arxiv.org/abs/2106.09681."""
    rows = scores(x.flatten(2).transpose(1, 2)).reshape(1, SIDE * SIDE, 3, 2, WIDTH // 2)
    query, key, value = rows.permute(2, 0, 3, 4, 1).unbind(0)
    shares = (F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)).softmax(-1)
    mixed: Tensor = (shares @ value).reshape(x.shape)
    return mixed


def affinity(x: Tensor) -> Tensor:
    """Channels attend to channels as they are; DANet, https://arxiv.org/abs/1809.02983."""
    rows = x.flatten(2)
    return x + ((rows @ rows.transpose(1, 2) / SIDE**2).softmax(-1) @ rows).reshape(x.shape)


def heads(x: Tensor, attend: nn.Module) -> Tensor:
    """PyTorch's own attention, on a quarter of the side."""
    tokens = F.avg_pool2d(x, 4).flatten(2).permute(0, 2, 1)
    mixed, _ = attend(tokens, tokens, tokens, need_weights=False)
    return up(mixed.permute(0, 2, 1).reshape(1, WIDTH, SIDE // 4, SIDE // 4))


MASK = -100.0 * (torch.arange(16 * 64 * 64) % 5 == 0).float().reshape(1, 16, 1, 64, 64)
ROWS = torch.linspace(-1, 1, SIDE).reshape(SIDE, 1)
MEMORY = torch.linspace(-1, 1, WIDTH * 8).reshape(WIDTH, 8)


def response_norm(x: Tensor) -> Tensor:
    """Global response normalisation, https://arxiv.org/abs/2301.00808."""
    norm = x.norm(dim=(2, 3), keepdim=True)
    shares: Tensor = norm / (norm.mean(1, keepdim=True) + 1e-3)
    return x + 0.1 * x * shares


def pyramid(x: Tensor, merge: nn.Module) -> Tensor:
    """Averages over 1, 4, 16 and 64 parts beside the image."""
    merged: Tensor = merge(torch.cat([x, *(up(F.adaptive_avg_pool2d(x, n)) for n in (1, 2, 4, 8))], 1))
    return merged


def focus(x: Tensor, merge: nn.Module) -> Tensor:
    """Every second row and column, four times."""
    quarters = [x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
    merged: Tensor = merge(torch.cat(quarters, 1))
    return up(merged)


BLOCKS: dict[str, Make] = {
    "glu": behind(lambda x: F.glu(x, 1), outputs=2 * WIDTH),
    "halves_swapped": behind(halves(lambda a, b: torch.cat([b, a], 1))),
    "halves_added": behind(halves(lambda a, b: torch.cat([a + b, a - b], 1))),
    "rows_swapped": plain(lambda x: torch.cat([x[:, :, 16:], x[:, :, :16]], 2)),
    "rolled": behind(lambda x: torch.roll(x, (2, 2), (2, 3))),
    "pixel_shuffle": layers(
        lambda x, a, b: b(F.pixel_shuffle(a(x), 2)),
        lambda: conv(outputs=4 * WIDTH), lambda: conv(stride=2),
    ),
    "pixel_unshuffle": layers(
        lambda x, a: up(a(F.pixel_unshuffle(x, 2)), "nearest"), lambda: conv(4 * WIDTH)
    ),
    "focus": layers(focus, lambda: conv(4 * WIDTH)),
    "deconvolution": layers(
        lambda x, a: a(F.max_pool2d(x, 2)), lambda: nn.ConvTranspose2d(WIDTH, WIDTH, 2, 2)
    ),
    "average": plain(lambda x: x + F.avg_pool2d(x, 3, 1, 1)),
    "average_uncounted": plain(lambda x: x + F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
    "average_ceil": plain(lambda x: up(F.avg_pool2d(x[..., :31, :31], 2, 2, ceil_mode=True))),
    "average_padded": plain(lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1)),
    "maximum": plain(lambda x: up(F.max_pool2d(x, 3, 2, 1))),
    "maximum_ceil": plain(lambda x: up(F.max_pool2d(x[..., :31, :30], 3, 2, 1, ceil_mode=True))),
    "maximum_padded": plain(lambda x: F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1)),
    "pad_reflected": layers(
        lambda x, a: a(F.pad(x, (1, 1, 1, 1), "reflect")), lambda: conv(padding=0)
    ),
    "pyramid": layers(pyramid, lambda: conv(5 * WIDTH)),
    "squeeze_excite": layers(
        lambda x, a, b: x * F.hardsigmoid(b(F.relu(a(x.mean((2, 3), keepdim=True))))),
        lambda: conv(outputs=4, kernel=1), lambda: conv(4, kernel=1),
    ),
    "squeeze_linear": layers(
        lambda x, a, b: x * torch.sigmoid(b(F.relu(a(x.mean((2, 3))))))[:, :, None, None],
        lambda: nn.Linear(WIDTH, 4), lambda: nn.Linear(4, WIDTH),
    ),
    "spatial_gate": layers(
        lambda x, a: x * torch.sigmoid(a(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1))),
        lambda: conv(2, 1, 7),
    ),
    "attention": layers(attention, lambda: conv(outputs=3 * WIDTH, kernel=1)),
    "gelu": behind(F.gelu),
    "silu": behind(F.silu),
    "mish": behind(F.mish),
    "elu": behind(F.elu),
    "leaky": behind(lambda x: F.leaky_relu(x, 0.1)),
    "softplus": behind(F.softplus),
    "prelu": layers(lambda x, a, b: b(a(x)), conv, lambda: nn.PReLU(WIDTH)),
    "group_norm": layers(lambda x, a, b: b(a(x)), conv, lambda: nn.GroupNorm(4, WIDTH)),
    "layer_norm": layers(
        lambda x, a, b: b(a(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2), conv, lambda: nn.LayerNorm(WIDTH)
    ),
    "l2_norm": behind(lambda x: F.normalize(x, dim=1)),
    "response_norm": behind(response_norm),
    "nearest": behind(lambda x: up(x, "nearest"), stride=2),
    "bicubic": behind(lambda x: up(x, "bicubic"), stride=2),
    "aligned": behind(lambda x: up(x, align_corners=True), stride=4),
    "clamped": behind(lambda x: x.clamp(-1, 2) / 3),
    "chosen": plain(lambda x: torch.where(x > 0.1, x, 2 * x)),
    "windows": layers(windows, lambda: nn.Linear(WIDTH, 3 * WIDTH)),
    "across_channels": layers(across_channels, lambda: nn.Linear(WIDTH, 3 * WIDTH)),
    "affinity": behind(affinity),
    "heads": layers(heads, lambda: nn.MultiheadAttention(WIDTH, 2, batch_first=True)),
    "rows_added": behind(lambda x: x + ROWS),
    "half_side": layers(lambda x, a: up(a(x) + ROWS[::2], "nearest"), lambda: conv(stride=2)),
    "variance": behind(lambda x: x * torch.rsqrt(x.var((2, 3), keepdim=True) + 1e-3)),
    "stack": behind(lambda x: torch.stack([x, -x, 0.5 * x], 0).amax(0)),
    "memory": layers(
        lambda x, a: (MEMORY @ a(x).flatten(2).softmax(1)).reshape(x.shape), lambda: conv(outputs=8)
    ),
    "largest_of_eight": behind(lambda x: up(F.adaptive_max_pool2d(x, 4), "nearest")),
}  # fmt: skip


class Network(nn.Module):
    """An image of 64x64 to scores of six classes."""

    def __init__(self, make: Make) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, WIDTH, 3, 2, 1), nn.Conv2d(WIDTH, 6, 1)
        self.block, made = make()
        self.layers = nn.ModuleList(made)

    def forward(self, image: Tensor) -> Tensor:
        """(1, 3, 64, 64) to (1, 6, 64, 64)."""
        scores: Tensor = F.interpolate(
            self.head(self.block(self.stem(image))), scale_factor=2.0, mode="bilinear"
        )
        return scores


def export(name: str, folder: Path) -> Path:
    """Write a block's network."""
    torch.manual_seed(0)
    path = folder / f"{name}.onnx"
    torch.onnx.export(
        Network(BLOCKS[name]).eval(),
        (torch.rand(1, 3, 64, 64),),
        path,
        opset_version=17,
        dynamo=False,
        input_names=["image"],
        output_names=["scores"],
    )
    return path


def contradictions(target: str, paths: list[Path], out: Path) -> list[str]:
    """Where ``check`` and the target's compiler differ."""
    report = out / f"{target}.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "mosaic_deploy", "check", *map(str, paths), "--target", target]
    subprocess.run([*command, "--verify", "--format", "json", "--out", str(report)], check=False, cwd=out)
    found = []
    for model in json.loads(report.read_text(encoding="utf-8"))["models"]:
        cleared = bool(model["verdicts"][0]["passed"])
        for said in model["verified"]:
            if cleared != (said["said"] == "compiles"):
                words = f"check {'clears' if cleared else 'refuses'}, it {said['said']}: {said['note']}"
                found.append(f"{target} {Path(model['model']).stem}: {words}")
    return found


def main() -> int:
    """Export, check, and say what differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--targets", default="cpu,gpu,openvino,ort-mobile,dsp")
    parser.add_argument("--blocks", default=",".join(BLOCKS))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    paths = [export(name, given.out).resolve() for name in given.blocks.split(",")]
    differing = 0
    for target in given.targets.split(","):
        found = contradictions(target, paths, given.out.resolve())
        differing += len(found)
        print(*found, f"{target}: {len(paths)} networks, {len(found)} differ", sep="\n")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
