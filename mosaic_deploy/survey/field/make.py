"""One network of others, settled on street scenes and written as ONNX; a program of the toolchain ``field``.

    python make.py REQUEST.json

REQUEST holds ``network`` (a line of networks.toml), ``images`` (paths), ``out`` (the ONNX file) and
``facts`` (a JSON file that gets the share of each class). Nothing is downloaded: the weights are random, from
a fixed seed. So that agreement means something, batch norms get the statistics of real scenes, and the last
layer is scaled until every class scores with the same mean and spread: classes compete for each pixel.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # what everyone calls it
from PIL import Image
from torch import nn

CLASSES = 11
MEAN, SCALE = 127.5, 64.0
MOST = 0.6
"""A class on more of the pixels than this would hide errors."""


class Dictionary(nn.Module):
    """A network of torchvision, which gives a dictionary."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W) to (1, C, H, W)."""
        scores: torch.Tensor = self.net(x)["out"]
        return scores


class Headed(nn.Module):
    """A backbone of timm with a head as small as one that is of use: two levels, one 3x3 convolution."""

    def __init__(self, name: str, head: str, arguments: dict[str, Any], width: int = 64) -> None:
        super().__init__()
        import timm

        self.tokens, self.body = head == "tokens", cast("Any", None)
        if self.tokens:
            self.body = timm.create_model(name, pretrained=False, num_classes=0, **arguments)
            self.channels = [int(self.body.num_features)]
        else:
            self.body = timm.create_model(name, pretrained=False, features_only=True, **arguments)
            self.channels = list(self.body.feature_info.channels())
        self.high = nn.Conv2d(self.channels[-1], width, 1)
        self.low = nn.Conv2d(self.channels[-3], width, 1) if len(self.channels) >= 3 else None
        self.mix = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.classify = nn.Conv2d(width, CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W) to (1, C, H, W)."""
        maps = [self._grid(x)] if self.tokens else self._pyramid(x)
        y = self.high(maps[-1])
        if self.low is not None:
            beside = self.low(maps[-3])
            y = _resized(y, beside.shape[2:]) + beside
        y = self.classify(F.relu(self.norm(self.mix(y))))
        return _resized(y, x.shape[2:])

    def _pyramid(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = self.body(x)
        if maps[-1].shape[1] != self.channels[-1]:  # channels last
            maps = [level.permute(0, 3, 1, 2) for level in maps]
        return list(maps)

    def _grid(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.body.forward_features(x)[:, self.body.num_prefix_tokens :]
        batch, count, width = tokens.shape
        side = int(count**0.5)
        grid: torch.Tensor = tokens.transpose(1, 2).reshape(batch, width, side, side)
        return grid


def _resized(x: torch.Tensor, size: Any) -> torch.Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def build(network: dict[str, Any]) -> nn.Module:
    """The network with random weights."""
    package, factory, arguments = network["package"], network["factory"], network["arguments"]
    if package == "torchvision":
        import torchvision.models.segmentation as models

        nothing = {"weights": None, "weights_backbone": None, "num_classes": CLASSES}
        return Dictionary(getattr(models, factory)(**nothing, **arguments))
    if package == "smp":
        import segmentation_models_pytorch as smp

        made: nn.Module = getattr(smp, factory)(encoder_weights=None, classes=CLASSES, **arguments)
        return made
    return Headed(factory, network["head"], arguments)


def scenes(paths: list[str], size: int) -> torch.Tensor:
    """(N, 3, size, size) as the build feeds them."""
    images = [
        Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BILINEAR) for path in paths
    ]
    pixels = np.stack([np.asarray(image, np.float32) for image in images])
    return torch.from_numpy(np.ascontiguousarray(((pixels - MEAN) / SCALE).transpose(0, 3, 1, 2)))


@torch.no_grad()
def settle(net: nn.Module, x: torch.Tensor) -> list[float]:
    """Give batch norms the statistics of ``x`` and let classes compete; the share of the pixels of each."""
    for module in net.modules():
        kind = type(module).__name__
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None
            module.reset_running_stats()
            if module.affine:
                nn.init.uniform_(module.weight, 0.6, 1.4)
                nn.init.normal_(module.bias, 0, 0.3)
        elif kind in ("LayerScale", "LayerScale2d"):
            torch.nn.init.uniform_(module.get_parameter("gamma"), 0.3, 1.0)
        elif isinstance(module, (nn.Dropout, nn.Dropout2d)):
            module.p = 0.0
    net.train()
    for module in net.modules():
        if type(module).__name__ == "DropPath":
            module.eval()
    net(x)
    net.eval()
    last = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.out_channels == CLASSES][-1]
    scores = net(x)
    mean, spread = scores.mean((0, 2, 3)), scores.std((0, 2, 3)).clamp_min(1e-6)
    last.weight.div_(spread[:, None, None, None])
    if last.bias is None:
        last.bias = nn.Parameter(torch.zeros(CLASSES))
    last.bias.copy_((last.bias - mean) / spread)
    counts = torch.bincount(net(x).argmax(1).flatten(), minlength=CLASSES)
    return [float(share) for share in counts / counts.sum()]


def export(net: nn.Module, x: torch.Tensor, network: dict[str, Any], out: Path) -> None:
    """Write ``out`` with the exporter that is asked for."""
    names = {"input_names": ["image"], "output_names": ["scores"], "opset_version": network["opset"]}
    if network["exporter"] == "dynamo":
        program = torch.onnx.export(net, (x,), dynamo=True, verbose=False, **names)
        assert program is not None
        program.save(str(out))
    else:
        torch.onnx.export(net, (x,), str(out), dynamo=False, **names)


def main(request: dict[str, Any]) -> None:
    """Do what the module says; fails where one class would cover most of the scenes."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # sums in one order, so the same weights on any machine of this kind
    network = request["network"]
    net = build(network)
    x = scenes(request["images"], network["size"])
    torch.manual_seed(1)
    shares = settle(net, x)
    if max(shares) > MOST or sum(share > 0.01 for share in shares) < CLASSES // 2:
        raise SystemExit(f"classes do not compete: {[round(share, 3) for share in shares]}")
    export(net, x[:1], network, Path(request["out"]))
    Path(request["facts"]).write_text(json.dumps({"shares": shares}), encoding="utf-8")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
