"""Constraints on kernels and pooling windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mosaic_deploy.graph.facts import Node
from tests.gate.op_support.constraints.judging import breach, doubt, holds, node


def pool(kernel: int, side: int | str, *, stride: int, ceil: int = 0, pads: int = 0, auto: str = "") -> Node:
    """An average pool of square windows; with ``auto``, padded as that says."""
    padding = f'auto_pad = "{auto}"' if auto else f"pads = [{pads}, {pads}, {pads}, {pads}]"
    return node(
        f"""g (float[1,2,{side},{side}] x) => (float[] y) {{
            y = AveragePool <kernel_shape = [{kernel}, {kernel}], strides = [{stride}, {stride}],
                {padding}, ceil_mode = {ceil}> (x) }}""",
        op="AveragePool",
    )


def conv(*, channels: int, group: int, pads: str = "1, 1, 1, 1") -> Node:
    return node(
        f"""g (float[1,{channels},8,8] x, float[{channels},{channels // group},3,3] w) => (float[] y) {{
            y = Conv <kernel_shape = [3, 3], pads = [{pads}], group = {group}> (x, w) }}""",
        op="Conv",
    )


@pytest.mark.parametrize(
    ("dilations", "fine"),
    [
        pytest.param("", True, id="none"),
        pytest.param("dilations = [1, 1],", True, id="one"),
        pytest.param("dilations = [1, 2],", False, id="two"),
    ],
)
def test_dilations_are_one(dilations: str, fine: bool) -> None:
    text = f"g (float[1,2,9,9] x) => (float[] y) {{ y = MaxPool <{dilations} kernel_shape = [3, 3]> (x) }}"
    found = node(text, op="MaxPool")
    if fine:
        assert holds("dilations_are_one", found)
    else:
        assert breach("dilations_are_one", found) == "dilations [1, 2]"


def test_strides_are_within_windows() -> None:
    assert holds("strides_are_within_windows", pool(2, 8, stride=2))
    found = breach("strides_are_within_windows", pool(2, 8, stride=3))
    assert found == "strides [3, 3] of windows [2, 2]"


@pytest.mark.parametrize(
    ("found", "fine"),
    [
        pytest.param(lambda: pool(2, 15, stride=2, ceil=0), True, id="floor"),
        pytest.param(lambda: pool(2, 16, stride=2, ceil=1), True, id="whole"),
        pytest.param(lambda: pool(3, 15, stride=2, ceil=1, pads=1), True, id="whole-with-pads"),
        pytest.param(lambda: pool(2, 15, stride=2, ceil=1), False, id="partial"),
        pytest.param(lambda: pool(3, 16, stride=2, ceil=1, pads=1), False, id="partial-with-pads"),
    ],
)
def test_windows_are_whole(found: Callable[[], Node], fine: bool) -> None:
    if fine:
        assert holds("windows_are_whole", found())
    else:
        assert "overshoot" in breach("windows_are_whole", found())


def test_padding_is_counted() -> None:
    assert holds("padding_is_counted", pool(3, 8, stride=1))
    assert breach("padding_is_counted", pool(3, 8, stride=1, pads=1)) == "pads [1, 1, 1, 1] that do not count"
    found = breach("padding_is_counted", pool(3, 8, stride=1, auto="SAME_UPPER"))
    assert found == "padding that does not count"
    counted = """g (float[1,2,8,8] x) => (float[] y) {
        y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (x) }"""
    assert holds("padding_is_counted", node(counted, op="AveragePool"))


def test_pads_are_symmetric() -> None:
    assert holds("pads_are_symmetric", conv(channels=8, group=1))
    assert breach("pads_are_symmetric", conv(channels=8, group=1, pads="0, 0, 1, 1")) == "pads [0, 0, 1, 1]"


def test_padding_is_that_of_tflite() -> None:
    assert holds("padding_is_that_of_tflite", pool(3, 8, stride=2))
    assert holds("padding_is_that_of_tflite", pool(3, 8, stride=1, pads=1))
    assert holds("padding_is_that_of_tflite", pool(3, 9, stride=2, pads=1))
    assert holds("padding_is_that_of_tflite", pool(3, 8, stride=2, auto="SAME_UPPER"))
    found = breach("padding_is_that_of_tflite", pool(3, 8, stride=2, pads=1))
    assert found == "pads [1, 1, 1, 1], where TFLite pads [0, 0, 1, 1]"
    assert doubt("padding_is_that_of_tflite", pool(3, "n", stride=2, pads=1)) == "an unknown shape"


def test_windows_are_not_padded() -> None:
    assert holds("windows_are_not_padded", pool(3, 8, stride=1))
    assert breach("windows_are_not_padded", pool(3, 8, stride=1, pads=1)) == "pads [1, 1, 1, 1]"
    assert holds("windows_are_not_padded", pool(2, 8, stride=2, auto="SAME_UPPER"))
    found = breach("windows_are_not_padded", pool(3, 8, stride=2, auto="SAME_UPPER"))
    assert found == "pads [0, 0, 1, 1]"
    assert doubt("windows_are_not_padded", pool(2, "n", stride=2, auto="SAME_UPPER")) == "an unknown shape"


def test_groups_are_channels() -> None:
    assert holds("groups_are_channels", conv(channels=8, group=8))
    assert breach("groups_are_channels", conv(channels=8, group=4)) == "4 groups of 8 channels"


def test_groups_hold_several_channels() -> None:
    assert holds("groups_hold_several_channels", conv(channels=8, group=4))
    assert breach("groups_hold_several_channels", conv(channels=8, group=8)) == "8 groups of 8 channels"


def test_groups_give_one_channel() -> None:
    assert holds("groups_give_one_channel", conv(channels=8, group=8))
    assert breach("groups_give_one_channel", conv(channels=8, group=2)) == "8 output channels of 2 groups"
    assert (
        doubt("groups_give_one_channel", replace(conv(channels=8, group=2), outputs=())) == "an unknown shape"
    )
