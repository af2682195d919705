"""From a PyTorch network to ONNX: traced, simplified, named after its modules, and compared at once.

    network --torch.onnx--> graph --onnxsim--> smaller graph --names--> ONNX file == network, checked

What the file promises: static shapes, the input ``image`` and one output named after the head, weights
inside, batch norms and paddings folded into convolutions, nodes and tensors named after the modules that
made them (``decoder.merges.0.reduce.conv.conv``, see ``onnx_names``), and the same bytes for the same
network and versions.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mosaic_deploy.errors import ModelError
from mosaic_deploy.files import write_whole
from mosaic_deploy.graph.origin_names import Origins, origins, rename

if TYPE_CHECKING:
    import onnx
    from torch import Tensor

    from mosaic_deploy.zoo.network import Network

INPUT = "image"
"""Name of every exported network's input."""

TOLERANCE = 1e-4
"""Largest difference between PyTorch and ONNX Runtime, as a share of the largest score."""


def export(
    net: Network,
    path: Path,
    *,
    height: int,
    width: int,
    opset: int = 18,
    notes: Mapping[str, str] = MappingProxyType({}),
    image: Tensor | None = None,
) -> None:
    """Write ``net`` as an ONNX file for one (1, 3, height, width) float image.

    The output is named like the net's head: ``logits`` (1, classes, height, width), ``lowres``
    (1, classes, h, w) or ``classmap`` (1, height, width) int32.

    Args:
        net: a zoo network on the CPU; it is left in evaluation mode.
        path: the file to write; it appears whole or not at all, replacing an older one.
        height: of the image, in pixels.
        width: of the image, in pixels.
        opset: version of ONNX's operators, 18 or more.
        notes: goes into the file's metadata.
        image: (1, 3, height, width), what to compare on; None for random colours that change slowly.

    Raises:
        ModelError: the image is too small, the exporter refuses the network, or the two runs differ.
    """
    import torch

    net.eval()
    image = _smooth_image(height, width) if image is None else image
    with torch.no_grad():
        expected = net(image)
    with _quiet():
        traced = _trace(_folded(net), image, opset)
        facts = origins(traced, library=Path(torch.__file__).parent)
        model = _simplify(traced)
    _tidy(model, facts)
    for key, value in notes.items():
        model.metadata_props.add(key=key, value=value)
    _compare(net, model, image, expected)
    write_whole(path, model.SerializeToString(deterministic=True))


def _smooth_image(height: int, width: int) -> Tensor:
    """Make a (1, 3, height, width) image in [-1, 1] to compare on: random colours that change slowly.

    Noise in every pixel is like no image: batch norms that have seen images blow it up, rounding with it.
    """
    import torch

    colours = torch.rand(
        (1, 3, -(-height // 16) + 1, -(-width // 16) + 1), generator=torch.Generator().manual_seed(0)
    )
    smooth = torch.nn.functional.interpolate(colours, (height, width), mode="bilinear", align_corners=False)
    return smooth * 2 - 1


def _folded(net: Network) -> Network:
    """Return a copy whose batch norms are part of their convolutions.

    The exporter does this too, but loses the second of two weights where a layer runs twice.
    """
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    from mosaic_deploy.zoo.layers.layers import ConvBN

    copy = deepcopy(net)
    for module in copy.modules():
        if isinstance(module, ConvBN):
            module.conv.conv = fuse_conv_bn_eval(module.conv.conv, module.bn)
            module.register_module("bn", nn.Identity())
    return copy


def _trace(net: Network, image: Tensor, opset: int) -> onnx.ModelProto:
    import torch

    import mosaic_deploy.zoo.layers.layers  # noqa: F401  # registers the operator of the table below

    resize: Callable[..., Any] = torch.ops.mosaic_deploy.resize_asymmetric.default
    try:
        program = torch.onnx.export(
            net,
            (image,),
            input_names=[INPUT],
            output_names=[net.head],
            opset_version=opset,
            dynamo=True,
            verbose=False,
            custom_translation_table={resize: _asymmetric_resize},
        )
    except Exception as err:  # whatever torch's exporter stumbles over
        raise ModelError(f"{type(net).__name__}: PyTorch cannot export it: {_why(err)}") from err
    assert program is not None
    return program.model_proto


def _asymmetric_resize(x: Any, height: int, width: int) -> Any:
    """Translate ``mosaic_deploy::resize_asymmetric`` to one ``Resize``; ``x`` is a symbolic tensor."""
    from onnxscript import opset18

    sizes: Any = opset18.Constant(value_ints=[int(x.shape[0]), int(x.shape[1]), height, width])
    return opset18.Resize(x, None, None, sizes, mode="linear", coordinate_transformation_mode="asymmetric")


def _simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxsim

    try:
        simplified: onnx.ModelProto
        simplified, _ = onnxsim.simplify(model)
    except Exception as err:  # the simplifier's C++ raises several kinds
        raise ModelError(f"onnxsim cannot simplify the exported graph: {_why(err)}") from err
    return simplified


def _tidy(model: onnx.ModelProto, facts: Origins) -> None:
    """Name everything, state each ``Resize`` in one way, and drop what says nothing."""
    rename(model.graph, facts)
    for node in model.graph.node:
        if node.op_type == "Resize":
            _state_plainly(node)
    model.graph.name = "network"
    model.producer_name, model.producer_version = "mosaic-deploy", ""
    for text in (model, model.graph):
        text.doc_string = ""
        del text.metadata_props[:]


def _state_plainly(resize: onnx.NodeProto) -> None:
    """Keep the attributes that matter to a linear or nearest ``Resize`` to given sizes.

    ``pytorch_half_pixel`` is ``half_pixel`` except for outputs of one pixel, where a map of scores
    never ends; fewer compilers know it.
    """
    import onnx

    values = {a.name: onnx.helper.get_attribute_value(a) for a in resize.attribute}
    mode, where = values["mode"], values["coordinate_transformation_mode"]
    del resize.attribute[:]
    where = b"half_pixel" if where == b"pytorch_half_pixel" else where
    kept = {"coordinate_transformation_mode": where, "mode": mode}
    if mode == b"nearest":
        kept["nearest_mode"] = values["nearest_mode"]
    for name, value in kept.items():
        resize.attribute.append(onnx.helper.make_attribute(name, value))


def _compare(net: Network, model: onnx.ModelProto, image: Tensor, expected: Tensor) -> None:
    """Run the graph on ONNX Runtime; raise ``ModelError`` where it strays from the network.

    A class map may differ only where the two classes' logits tie within the tolerance.
    """
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 2, 3
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found = torch.from_numpy(session.run(None, {INPUT: image.numpy()})[0])
    except Exception as err:  # ONNX Runtime's bindings share no base class
        raise ModelError(f"ONNX Runtime cannot run the exported graph: {_why(err)}") from err
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise ModelError(
            f"the exported graph gives {list(found.shape)} {found.dtype}, "
            f"the network {list(expected.shape)} {expected.dtype}"
        )
    scores = expected
    if net.head == "classmap":
        net.head = "logits"
        try:
            with torch.no_grad():
                scores = net(image)
        finally:
            net.head = "classmap"
        winner, chosen = (scores.gather(1, c[:, None].long()) for c in (expected, found))
        difference = float((winner - chosen).abs().max())
    else:
        difference = float((found - expected).abs().max())
    limit = TOLERANCE * float(scores.abs().max()) + 1e-7
    if not difference <= limit:  # so that NaN fails
        raise ModelError(
            f"{type(net).__name__}: the exported graph differs from PyTorch by {difference:.3g}, "
            f"more than {limit:.3g}: the exporter translated an operator wrongly"
        )


def _why(err: Exception) -> str:
    """Return the first line of the innermost cause, shortened."""
    cause: BaseException = err
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = str(cause).strip().splitlines() or [""]
    return f"{type(cause).__name__}: {lines[0][:200]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress, its deprecations and its remarks on torchvision to ourselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
