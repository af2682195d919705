"""Padding and resizing, against TensorFlow's rule and ONNX Runtime."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import conv2d, pad

from mosaic_deploy.zoo.layers.layers import Conv, Padding, Resize, Sampling, resize_asymmetric

Floats = NDArray[np.float32]


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("size", [(8, 8), (9, 12), (7, 1)], ids=str)
def test_outputs_are_the_input_over_the_stride_rounded_up(
    padding: Padding, kernel: int, size: tuple[int, int]
) -> None:
    layer = Conv(2, 3, kernel, stride=2, padding=padding)
    assert layer(torch.zeros(1, 2, *size)).shape[2:] == tuple(-(-n // 2) for n in size)


@pytest.mark.parametrize(
    ("kernel", "size", "pads"),
    [
        pytest.param(3, (8, 8), (0, 1, 0, 1), id="3x3 even"),
        pytest.param(3, (9, 9), (1, 1, 1, 1), id="3x3 odd"),
        pytest.param(5, (8, 8), (1, 2, 1, 2), id="5x5 even"),
        pytest.param(5, (9, 8), (1, 2, 2, 2), id="5x5, odd height"),
    ],
)
def test_same_puts_the_odd_pixel_after(
    kernel: int, size: tuple[int, int], pads: tuple[int, int, int, int]
) -> None:
    layer, x = Conv(2, 3, kernel, stride=2, padding="same"), torch.randn(1, 2, *size)
    torch.testing.assert_close(layer(x), conv2d(pad(x, pads), layer.conv.weight, stride=2))


def test_paddings_agree_without_stride_and_differ_with_it() -> None:
    x = torch.randn(1, 2, 8, 8)
    for stride, agree in ((1, True), (2, False)):
        same = Conv(2, 3, 3, stride=stride, padding="same")
        symmetric = Conv(2, 3, 3, stride=stride, padding="symmetric")
        symmetric.load_state_dict(same.state_dict())
        assert torch.allclose(same(x), symmetric(x), atol=1e-6) == agree


def onnx_resize(x: Floats, size: tuple[int, int], sampling: str) -> Floats:
    """Run ONNX Runtime's linear ``Resize`` on (N, C, h, w)."""
    attributes = f'mode = "linear", coordinate_transformation_mode = "{sampling}"'
    model = onnx.parser.parse_model(
        f"""
        <ir_version: 9, opset_import: ["" : 18]>
        resize (float[N, C, h, w] x) => (float[N, C, H, W] y)
        <int64[4] sizes = {{{x.shape[0]}, {x.shape[1]}, {size[0]}, {size[1]}}}, float[0] none = {{}}>
        {{ y = Resize <{attributes}> (x, none, none, sizes) }}
        """
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return cast("Floats", session.run(None, {"x": x})[0])


@pytest.mark.parametrize("sampling", ["half_pixel", "asymmetric"])
@pytest.mark.parametrize(
    ("size", "to"),
    [
        pytest.param((4, 4), (32, 32), id="8 times"),
        pytest.param((12, 16), (24, 32), id="twice"),
        pytest.param((3, 5), (7, 12), id="no whole factor"),
        pytest.param((1, 1), (6, 7), id="one pixel"),
        pytest.param((9, 8), (9, 16), id="one axis only"),
        pytest.param((9, 12), (4, 5), id="smaller"),
    ],
)
def test_resizing_is_onnx_runtimes(sampling: Sampling, size: tuple[int, int], to: tuple[int, int]) -> None:
    x = torch.randn((2, 3, *size), generator=torch.Generator().manual_seed(3))
    ours = Resize(sampling)(x, to)
    np.testing.assert_allclose(ours.numpy(), onnx_resize(x.numpy(), to, sampling), rtol=1e-5, atol=1e-5)


def test_the_two_samplings_differ() -> None:
    x = torch.randn(1, 1, 4, 4)
    assert not torch.allclose(Resize("half_pixel")(x, (8, 8)), Resize("asymmetric")(x, (8, 8)), atol=1e-2)


def test_a_resize_to_the_same_size_is_the_input_itself() -> None:
    x = torch.randn(1, 2, 5, 6)
    assert Resize("asymmetric")(x, (5, 6)) is x


def test_asymmetric_coordinates_by_hand() -> None:
    x = torch.tensor([0.0, 10.0]).reshape(1, 1, 1, 2)
    assert resize_asymmetric(x, 1, 4).flatten().tolist() == [0.0, 5.0, 10.0, 10.0]


@pytest.mark.parametrize("size", [(7, 9), (2, 3), (4, 12)], ids=str)
def test_gradients_of_asymmetric_resizing_are_those_of_its_differences(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: resize_asymmetric(t, *size), (x,), fast_mode=True)
