"""Valid interpolation against full interpolation, and class maps of scores that are not resized."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.output_kind import contract_with, with_output
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.fields import OutputKind
from tests.graph.test_output_kind import run

HEIGHT, WIDTH, CLASSES = 32, 48, 7


def contract(kind: OutputKind, layout: str = "NCHW", **more: object) -> Contract:
    classes = more.pop("classes", CLASSES)
    assert isinstance(classes, int)
    stated = {
        "height": HEIGHT,
        "width": WIDTH,
        "layout": layout,
        "output": kind,
        "classes": [str(index) for index in range(classes)],
        "palette": [(index, 0, 0) for index in range(classes)],
    }
    return Contract.model_validate(stated | more)


def ending(low: tuple[int, int], *, last: bool = False, classes: int = CLASSES) -> onnx.ModelProto:
    """A network of one bilinear Resize, whose input are the scores."""
    small, large = (
        f"1, {h}, {w}, {classes}" if last else f"1, {classes}, {h}, {w}" for h, w in (low, (HEIGHT, WIDTH))
    )
    return onnx.shape_inference.infer_shapes(
        onnx.parser.parse_model(f"""
            <ir_version: 8, opset_import: ["" : 18]>
            net (float[{small}] low) => (float[{large}] logits) <int64[4] size = {{{large}}}> {{
              scores = Identity(low)
              logits = Resize<mode = "linear">(scores, , , size)
            }}
        """)
    )


def both(scores: NDArray[Any], *, last: bool = False) -> tuple[NDArray[Any], NDArray[Any]]:
    """Class ids by valid and by full interpolation."""
    low = scores.shape[1:3] if last else scores.shape[2:]
    start, card = ending((low[0], low[1]), last=last), contract("logits", "NHWC" if last else "NCHW")
    valid, full = (run(with_output(start, card, want=kind), scores) for kind in ("vim", "classmap"))  # type: ignore[arg-type]
    return valid, full


@given(st.integers(0, 2**32 - 1), st.sampled_from([(2, 3), (4, 6), (5, 7), (16, 24)]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_it_gives_the_class_of_full_interpolation_wherever_that_is_a_winner(
    seed: int, low: tuple[int, int], last: bool
) -> None:
    scores = np.random.default_rng(seed).normal(size=(1, CLASSES, *low)).astype(np.float32)
    winners = np.unique(scores.argmax(axis=1))
    valid, full = both(np.moveaxis(scores, 1, -1) if last else scores, last=last)
    assert valid.shape == (1, HEIGHT, WIDTH)
    assert valid.dtype == np.int32
    assert set(np.unique(valid)) <= {*winners}
    same = np.isin(full, winners)
    np.testing.assert_array_equal(valid[same], full[same])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_it_is_full_interpolation_where_every_class_wins_somewhere(seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(1, CLASSES, 6, 8)).astype(np.float32)
    for index in range(CLASSES):
        scores[0, index, 0, index] = 9
    valid, full = both(scores)
    np.testing.assert_array_equal(valid, full)


def test_it_differs_where_a_class_wins_between_pixels_alone() -> None:
    """Second of two corners each, and first halfway."""
    scores = np.zeros((1, CLASSES, 2, 2), np.float32)
    scores[0, 0], scores[0, 1] = [[4, 0], [4, 0]], [[0, 4], [0, 4]]
    scores[0, 2] = 3
    valid, full = both(scores)
    assert {*np.unique(full)} == {0, 1, 2}
    assert {*np.unique(valid)} == {0, 1}


def test_of_equal_scores_the_first_class_wins() -> None:
    valid, full = both(np.zeros((1, CLASSES, 4, 6), np.float32))
    assert not valid.any()
    assert not full.any()


@pytest.mark.parametrize("have", ["lowres", "logits", "classmap"])
def test_a_low_class_map_is_that_of_the_scores(have: OutputKind) -> None:
    start, card = ending((4, 6)), contract("logits")
    model, told = with_output(start, card, want=have), contract_with(start, card, want=have)
    scores = np.random.default_rng(0).normal(size=(1, CLASSES, 4, 6)).astype(np.float32)
    found = run(with_output(model, told, want="lowmap"), scores)
    np.testing.assert_array_equal(found, scores.argmax(axis=1))
    assert found.dtype == np.int32
    small = contract_with(model, told, want="lowmap").class_map(found, (HEIGHT, WIDTH))
    np.testing.assert_array_equal(small, np.kron(scores[0].argmax(axis=0), np.ones((8, 8))))


@pytest.mark.parametrize("kind", ["classmap", "vim"])
def test_an_app_reads_ids_alike(kind: OutputKind) -> None:
    ids = np.random.default_rng(0).integers(0, CLASSES, (1, HEIGHT, WIDTH)).astype(np.int32)
    np.testing.assert_array_equal(contract(kind).class_map(ids, (HEIGHT, WIDTH)), ids[0])


@pytest.mark.parametrize("want", ["lowres", "logits", "classmap"])
def test_what_has_it_stays_so(want: OutputKind) -> None:
    model = with_output(ending((4, 6)), contract("logits"), want="vim")
    with pytest.raises(ModelError, match="does not end in an ArgMax"):
        with_output(model, contract("vim"), want=want)


def test_one_score_per_pixel_is_refused() -> None:
    start = ending((4, 6), classes=1)
    card = contract("logits", classes=2, threshold=0.0)
    with pytest.raises(ModelError, match="one score per pixel; use classmap"):
        with_output(start, card, want="vim")


def test_scores_that_are_never_resized_are_refused() -> None:
    start = ending((4, 6))
    del start.graph.node[1]
    start.graph.node[0].output[0] = "logits"
    start.graph.input[0].CopyFrom(start.graph.output[0])
    start.graph.input[0].name = "low"
    with pytest.raises(ModelError, match=r"--output vim is not possible.* a Resize"):
        with_output(start, contract("logits"), want="vim")


def test_an_older_opset_is_refused() -> None:
    start = ending((4, 6))
    start.opset_import[0].version = 17
    with pytest.raises(ModelError, match="vim is not possible in opset 17: export with opset 18"):
        with_output(start, contract("logits"), want="vim")
