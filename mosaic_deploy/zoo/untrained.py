"""Weights for a network that nobody has trained: drawn from a seed, and settled to say something.

Freshly drawn weights give one class everywhere, and a comparison of two such maps says nothing. So batch
norms get the statistics of street scenes, and what makes the scores is scaled until every class scores with
the same mean and spread: classes then compete for each pixel, as in a trained network. What it sees is
still noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mosaic_deploy.errors import ModelError
from mosaic_deploy.specs.root import spec_root

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mosaic_deploy.specs.contract import Contract
    from mosaic_deploy.zoo.network import Network

SEED = 0
_SCENES = 6
_CROP_PIXELS, _LEVEL_PIXELS = 1 << 18, 1 << 20
"""Of a crop that batch norms settle on, and of all whole images that scores are levelled on, at most; one
image at least."""
_OPENED = 0.1
"""Gain of a batch norm that starts at 0, which closes a branch, beside that of others. Training opens such
attention as little; wide open, its bare products magnify float32's rounding until no two runtimes agree."""
_AWAKE = 1.0
"""Mean offset of a batch norm, in spreads of what it normalises: most of a channel is then above 0. Around 0
each rectifier throws half away, and a deep network magnifies a rounding 10 to 20 times more."""
_LEAST = 1e-3
"""Of a variance: a channel that is dead on the scenes must not be blown up where it wakes."""


def scenes() -> list[Path]:
    """The street scenes that networks settle on: the first of those for calibration."""
    return sorted(_folder().iterdir())[:_SCENES]


def _folder() -> Path:
    return spec_root() / "calib_data" / "streets" / "calib" / "images"


def another_scene() -> Path:
    """A street scene that no network settled on."""
    return sorted(_folder().iterdir())[_SCENES]


@contextmanager
def seeded() -> Iterator[None]:
    """Draw from ``SEED`` and compute on one thread, which sums in one order; what was before comes back."""
    import torch

    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def settle(net: Network, contract: Contract) -> None:
    """Settle a network whose weights were just drawn, within ``seeded``; it is left in evaluation mode.

    Batch norms settle on crops of the scenes, which are as sharp as the whole images, so that networks for
    large images take seconds; where a crop is too small for the network, on larger ones.

    Args:
        net: a network of the zoo, on the CPU.
        contract: says the size of the image, its mean and scale.

    Raises:
        ModelError: the network takes no image of the contract's size.
    """
    import torch

    images = [fed(path, contract) for path in scenes()]
    with torch.no_grad():
        _draw_norms(net)
        crop = _settle_norms(net, images)
        whole = max(1, _LEVEL_PIXELS // (contract.height * contract.width))
        _level(net, crop, images[:whole])


def fed(path: Path, contract: Contract) -> Tensor:
    """(1, 3, H, W), the scene as the network takes it."""
    import torch

    with Image.open(path) as image:
        size = (contract.width, contract.height)
        pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR), np.float32)
    pixels = pixels[..., ::-1] if contract.colour == "BGR" else pixels
    fed = (pixels - np.array(contract.mean, np.float32)) / np.array(contract.scale, np.float32)
    return torch.from_numpy(np.ascontiguousarray(fed.transpose(2, 0, 1)))[None]


def _draw_norms(net: Network) -> None:
    """Give each batch norm a gain and an offset, and leave nothing to chance that is for training."""
    from torch import nn

    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # the plain mean over what it sees
            module.reset_running_stats()
            if module.affine:
                gain = 1.0 if module.weight.any() else _OPENED
                nn.init.uniform_(module.weight, 0.6 * gain, 1.4 * gain)
                nn.init.normal_(module.bias, _AWAKE, 0.5 * _AWAKE)
        elif isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0


def _settle_norms(net: Network, images: list[Tensor]) -> Tensor:
    """Give batch norms the statistics of crops; returns the crops, (N, 3, h, w)."""
    from torch import nn

    height, width = (int(side) for side in images[0].shape[2:])
    parts = 1
    while height * width > parts * parts * _CROP_PIXELS:
        parts *= 2
    net.train()
    while True:
        crops = _crops(images, height // parts, width // parts)
        try:
            net.scores(crops)
            break
        except ModelError:
            if parts == 1:
                raise
            parts //= 2
    net.eval()
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is not None:
            module.running_var.clamp_(min=_LEAST)
    return crops


def _crops(images: list[Tensor], height: int, width: int) -> Tensor:
    """One crop of each image, from places that go from the top left to the bottom right."""
    import torch

    down, right = (int(images[0].shape[axis + 2]) - side for axis, side in enumerate((height, width)))
    places = [i / max(len(images) - 1, 1) for i in range(len(images))]
    corners = [(round(down * at), round(right * at)) for at in places]
    cut = [x[..., y : y + height, z : z + width] for x, (y, z) in zip(images, corners, strict=True)]
    return torch.cat(cut)


def _level(net: Network, crops: Tensor, images: list[Tensor]) -> None:
    """Scale and shift what makes the scores, until each class scores with mean 0 and spread 1.

    Where the scores are rectified sums they cannot be shifted: they get the same spread, and hardly
    another mean.
    """
    from torch import nn

    makers = _score_makers(net, crops[:1])
    for maker in makers:
        if isinstance(maker, nn.BatchNorm2d):
            nn.init.ones_(maker.weight)
            nn.init.zeros_(maker.bias)
    mean, spread = _statistics(net, images)
    for maker in makers:
        _scale(maker, 1 / spread)
    last = next((maker for maker in makers if not isinstance(maker, nn.BatchNorm2d)), None)
    if last is not None:
        last.bias = last.bias if last.bias is not None else nn.Parameter(mean.new_zeros(len(mean)))
        last.bias.sub_(mean / spread)


def _statistics(net: Network, images: list[Tensor]) -> tuple[Tensor, Tensor]:
    """(C,) mean and spread of each class's score, image by image: several would take too much memory."""
    import torch

    scores = torch.cat([net.scores(image) for image in images])
    return scores.mean((0, 2, 3)), scores.std((0, 2, 3)).clamp_min(1e-6)


def _score_makers(net: Network, image: Tensor) -> list[nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d]:
    """The last layers before the scores whose channels are the classes, the last to run first.

    A layer is one where a change of its channel changes the score of that class alone, and where it does so
    also while those that run later give nothing: they add up, as the two branches of a head do.
    """
    from torch import nn

    scores = net.scores(image)
    classes = int(scores.shape[1])
    ran: list[nn.Module] = []
    handles = [
        module.register_forward_hook(lambda made, *_: ran.append(made))
        for module in net.modules()
        if _channels(module) == classes
    ]
    net.scores(image)
    for handle in handles:
        handle.remove()
    makers: list[nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d] = []
    for module in dict.fromkeys(reversed(ran)):
        if ran.count(module) == 1 and _makes_alone(net, image, module, makers):
            assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d)
            makers.append(module)
    return makers


def _makes_alone(net: Network, image: Tensor, module: nn.Module, silent: Sequence[nn.Module]) -> bool:
    """Whether, while others give zeros, channel 0 of a layer changes the score of class 0 and no other."""
    import torch

    def louder(_module: nn.Module, _args: object, out: Tensor) -> Tensor:
        return torch.cat([2 * out[:, :1] + 1, out[:, 1:]], dim=1)

    handles = [other.register_forward_hook(lambda _m, _a, out: torch.zeros_like(out)) for other in silent]
    before = net.scores(image)
    handles.append(module.register_forward_hook(louder))
    changed = (net.scores(image) != before).any(dim=3).any(dim=2)[0]
    for handle in handles:
        handle.remove()
    return bool(changed[0]) and not bool(changed[1:].any())


def _channels(module: nn.Module) -> int:
    """Channels that a layer with weights gives; 0 for other modules."""
    from torch import nn

    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return module.out_channels
    return module.num_features if isinstance(module, nn.BatchNorm2d) else 0


def _scale(maker: nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d, by: Tensor) -> None:
    """Multiply each channel that a layer gives."""
    from torch import nn

    if isinstance(maker, nn.Conv2d):
        maker.weight.mul_(by[:, None, None, None])
    elif isinstance(maker, nn.BatchNorm2d):
        maker.weight.mul_(by)
    else:
        each = by.reshape(maker.groups, -1)  # (groups, channels of a group)
        each = each.repeat_interleave(maker.in_channels // maker.groups, dim=0)
        maker.weight.mul_(each[..., None, None])
    if maker.bias is not None:
        maker.bias.mul_(by)
