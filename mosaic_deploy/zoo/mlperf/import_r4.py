"""MLPerf's official MOSAIC (MLCommons, mobile segmenter, revision R4) as weights of the zoo's network.

The file is an 8-bit TFLite graph with batch norms folded. Its weights and biases become floats, and each
batch norm is set to the identity plus the bias, so that the float network computes what the file's
integers approximate. The graph is walked operator by operator beside the network; every shape, stride,
dilation, activation, concatenation order and resize must be the network's, or nothing is imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast, final

import numpy as np

from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.files import write_whole
from mosaic_deploy.zoo.mlperf.card import LICENCE, card_text
from mosaic_deploy.zoo.mlperf.tflite_graph import MAX_BYTES, Graph, Op, Tensor, parse

if TYPE_CHECKING:
    from mosaic_deploy.zoo.backbones.mnmh import Backbone, InvertedBottleneck
    from mosaic_deploy.zoo.layers.layers import ConvBN
    from mosaic_deploy.zoo.networks.mosaic import ConcatMerge, Mosaic, MultiKernel, SumMerge

SWITCHES: dict[str, object] = {"classes": 32, "sampling": "asymmetric", "padding": "same"}
"""What makes the zoo's MOSAIC the network of the file."""

_SIDE = 512
_SAME, _NONE, _RELU = 0, 0, 1  # TFLite's numbers of a padding and two activations
_CHANNELS = 3  # the last axis of NHWC


def import_mlperf(tflite: Path, out: Path, *, force: bool = False) -> Path:
    """Write the file's weights as safetensors, and a model card of the same name beside them.

    Args:
        tflite: MLCommons' ``mobile_segmenter_r4_quant_argmax_uint8.tflite``.
        out: the ``.safetensors`` file to write; its notes hold the source's sha256, the zoo's switches
            and the normalisation.
        force: whether files that are there may be replaced.

    Returns:
        The card's path.

    Raises:
        ModelError: the file is missing, damaged, or of another network.
        UsageError: ``out`` is no ``.safetensors``, lies in no folder, or would replace a file.
    """
    card = out.with_suffix(".toml")
    if out.suffix != ".safetensors" or not out.parent.is_dir():
        raise UsageError(f"{out}: name a .safetensors file in a folder that exists")
    for path in (out, card):
        if path.exists() and not force:
            raise UsageError(f"{path}: exists already: add --force to replace it, or choose another --out")
    data = _bytes(tflite)
    parse(data, tflite)  # before PyTorch is loaded, which takes seconds
    from mosaic_deploy.zoo.networks.mosaic import build
    from mosaic_deploy.zoo.weights import save_weights

    net = build(**SWITCHES)
    mean, scale = fill(net, data, tflite)
    digest = hashlib.sha256(data).hexdigest()
    notes = {"source_sha256": digest, "licence": LICENCE, "mean": mean, "scale": scale}
    save_weights(net, out, half=False, notes={**notes, "factory": "mosaic", "switches": SWITCHES})
    write_whole(card, card_text(out.name, digest, normalisation=(mean, scale), switches=SWITCHES))
    return card


def fill(net: Mosaic, data: bytes, path: Path) -> tuple[float, float]:
    """Put the weights of a TFLite file into ``net``, built with :data:`SWITCHES`.

    Args:
        net: changed in place; after an error it holds some of the weights, and is of no use.
        data: the file's bytes.
        path: its name, for messages.

    Returns:
        (mean, scale) of the file's input: x = (pixel - mean) / scale.

    Raises:
        ModelError: the file is damaged, or not this network.
    """
    graph = parse(data, path).without_requantization()
    try:
        _walk(net, _Walk(graph))
        image = graph.tensors[graph.inputs[0]]
        return float(image.zero_points[0]), round(1 / image.scales[0], 3)
    except (ModelError, IndexError, ZeroDivisionError, OverflowError) as err:
        reason = str(err) if isinstance(err, ModelError) else "its input is not quantised"
        raise ModelError(f"{path}: not MLPerf's MOSAIC R4: {reason}") from err


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as err:
        raise ModelError(f"{path}: cannot be read ({err.strerror})") from err


def _walk(net: Mosaic, walk: _Walk) -> None:
    """Follow the file's graph the way the network runs; every operator must be met once."""
    features, skips = _backbone(net, walk)
    context = _encoder(net, walk, features)
    first, second = net.decoder.merges
    merged = _concat_merge(cast("ConcatMerge", first), walk, context, skips[8])
    scores = _sum_merge(cast("SumMerge", second), walk, merged, skips[4])
    walk.end(walk.resize(scores, _SIDE))


def _backbone(net: Mosaic, walk: _Walk) -> tuple[int, dict[int, int]]:
    backbone = cast("Backbone", net.backbone)
    x = walk.conv(walk.image(), backbone.stem, "backbone.stem")
    skips: dict[int, int] = {}
    for index, module in enumerate(backbone.blocks):
        block, name = cast("InvertedBottleneck", module), f"backbone.blocks.{index}"
        expanded = walk.conv(walk.conv(x, block.expand, name), block.depthwise, name)
        y = walk.conv(expanded, block.project, name)
        x = walk.add(x, y) if block.residual else y
        skips |= {1: {4: expanded}, 5: {8: expanded}}.get(index, {})
    return walk.conv(x, backbone.last, "backbone.last"), skips


def _encoder(net: Mosaic, walk: _Walk, features: int) -> int:
    side = _SIDE // 16
    branches = []
    for bins, module in zip(net.encoder.bins, net.encoder.kernels, strict=True):
        kernels, name = cast("MultiKernel", module), f"encoder, {bins} bins"
        parts = []
        for half, branch in zip(
            walk.halves(walk.pool(features, side // bins)), kernels.branches, strict=True
        ):
            spatial, pointwise = cast("tuple[ConvBN, ConvBN]", tuple(cast("list[ConvBN]", branch)))
            parts.append(walk.conv(walk.conv(half, spatial, name), pointwise, name))
        branches.append(walk.resize(walk.concat(parts), side))
    return walk.conv(walk.concat([*branches, features]), net.encoder.project, "encoder.project")


def _concat_merge(merge: ConcatMerge, walk: _Walk, low: int, high: int) -> int:
    x = walk.concat([walk.resize(low, _SIDE // 8), high])
    for layer in (merge.reduce, merge.depthwise, merge.project):
        x = walk.conv(x, layer, "decoder.merges.0")
    return x


def _sum_merge(merge: SumMerge, walk: _Walk, low: int, high: int) -> int:
    skip = walk.conv(high, cast("ConvBN", merge.high), "decoder.merges.1")
    return walk.add(skip, walk.resize(low, _SIDE // 4))


@final
class _Walk:
    """A graph, and which of its operators were met; tensors are passed by number."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.left = dict(enumerate(graph.ops))

    def image(self) -> int:
        image = self._tensor(self.graph.inputs[0])
        if image.shape != (1, _SIDE, _SIDE, 3) or image.dtype != "UINT8":
            raise ModelError(f"its input is {list(image.shape)} {image.dtype}")
        return self.graph.inputs[0]

    def conv(self, x: int, layer: ConvBN, name: str) -> int:
        """Meet the convolution of ``x`` that ``layer`` describes, and take its weights."""
        conv = layer.conv.conv
        depthwise = conv.groups > 1
        out, per_group, kernel, _ = conv.weight.shape
        wanted = (1, kernel, kernel, out) if depthwise else (out, kernel, kernel, per_group)
        options = {
            "StrideH": layer.conv.stride,
            "StrideW": layer.conv.stride,
            "DilationHFactor": layer.conv.dilation,
            "DilationWFactor": layer.conv.dilation,
            "Padding": _SAME,
            "FusedActivationFunction": _RELU if _rectified(layer) else _NONE,
        }

        def fits(op: Op) -> bool:
            constants = [(t.dtype, t.shape) for t in map(self._tensor, op.inputs[1:])]
            right = constants == [("UINT8", wanted), ("INT32", (out,))]
            return right and op.options == options and op.inputs[0] == x

        op = self._meet(
            x,
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
            fits,
            f"{name}: a {kernel}x{kernel} convolution with weights {list(wanted)}, stride "
            f"{layer.conv.stride}, dilation {layer.conv.dilation}",
        )
        _set(layer, self._tensor(op.inputs[1]), self._tensor(op.inputs[2]))
        return op.outputs[0]

    def add(self, x: int, y: int) -> int:
        plain = {"FusedActivationFunction": _NONE}
        op = self._meet(x, "ADD", lambda op: {*op.inputs} == {x, y} and op.options == plain, "an addition")
        return op.outputs[0]

    def concat(self, parts: list[int]) -> int:
        options = {"Axis": _CHANNELS, "FusedActivationFunction": _NONE}
        wanted = tuple(parts)
        return self._meet(
            parts[0],
            "CONCATENATION",
            lambda op: op.inputs == wanted and op.options == options,
            f"a concatenation of {len(parts)} in the network's order",
        ).outputs[0]

    def pool(self, x: int, side: int) -> int:
        options = dict.fromkeys(("StrideH", "StrideW", "FilterHeight", "FilterWidth"), side)
        what = f"an average pool of {side}x{side}"
        return self._meet(x, "AVERAGE_POOL_2D", lambda op: op.options == options, what).outputs[0]

    def resize(self, x: int, side: int) -> int:
        options = {"AlignCorners": 0, "HalfPixelCenters": 0}

        def fits(op: Op) -> bool:
            return op.options == options and self._tensor(op.outputs[0]).shape[1:3] == (side, side)

        return self._meet(x, "RESIZE_BILINEAR", fits, f"an asymmetric resize to {side}x{side}").outputs[0]

    def halves(self, x: int) -> tuple[int, int]:
        op = self._meet(
            x,
            "SPLIT",
            lambda op: op.options == {"NumSplits": 2} and len(op.outputs) == 2 and self._along(op.inputs[0]),
            "a split of the channels into halves",
        )
        return op.outputs[0], op.outputs[1]

    def end(self, x: int) -> None:
        op = self._meet(x, "ARG_MAX", lambda op: self._along(op.inputs[1]), "the arg max of the channels")
        if op.outputs != self.graph.outputs:
            raise ModelError("its output is not the class map")
        if self.left:
            raise ModelError(
                f"it has {len(self.left)} more operators, such as {min(self.left.items())[1].kind}"
            )

    def _along(self, axis: int) -> bool:
        data = self._tensor(axis).data
        return data is not None and data.size == 1 and int(data.flat[0]) in (_CHANNELS, -1)

    def _meet(self, x: int, kind: str, fits: Callable[[Op], bool], what: str) -> Op:
        """Find the one operator left that reads ``x``, is of this kind and fits."""
        found = [
            number
            for number, op in self.left.items()
            if op.kind == kind and x in op.inputs and op.outputs and fits(op)
        ]
        if len(found) != 1:
            raise ModelError(f"expected {what}, found {len(found) or 'none'}")
        return self.left.pop(found[0])

    def _tensor(self, number: int) -> Tensor:
        return self.graph.tensors[number]


def _rectified(layer: ConvBN) -> bool:
    from torch import nn

    return isinstance(layer.activation, nn.ReLU)


def _set(layer: ConvBN, weight: Tensor, bias: Tensor) -> None:
    """Make ``layer`` compute conv(x, weight) + bias: its batch norm divides by sqrt(1 - eps + eps)."""
    import torch

    floats = weight.floats()
    axes = (3, 0, 1, 2) if layer.conv.conv.groups > 1 else (0, 3, 1, 2)
    with torch.no_grad():
        layer.conv.conv.weight.copy_(torch.from_numpy(np.ascontiguousarray(floats.transpose(axes))))
        layer.bn.weight.fill_(1.0)
        layer.bn.bias.copy_(torch.from_numpy(bias.floats()))
        assert layer.bn.running_mean is not None
        assert layer.bn.running_var is not None
        layer.bn.running_mean.zero_()
        layer.bn.running_var.fill_(1.0 - layer.bn.eps)
