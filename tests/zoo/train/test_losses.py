import numpy as np
import pytest
import torch

from mosaic_deploy.zoo.train.losses import class_weights, segmentation_loss


def test_median_frequency_weights() -> None:
    pixels = np.array([100, 50, 10, 0])
    among = np.array([200, 200, 200, 0])
    weights = class_weights(pixels, among, "median")
    assert weights == pytest.approx([0.5, 1.0, 5.0, 1.0])
    assert class_weights(pixels, among, "sqrt") == pytest.approx(np.sqrt(weights))
    assert class_weights(pixels, among, "none") == pytest.approx([1, 1, 1, 1])


def truth() -> torch.Tensor:
    ids = torch.zeros(2, 8, 8, dtype=torch.int64)
    ids[:, 4:] = 1
    ids[:, 0, 0] = 255
    return ids


def scores_for(ids: torch.Tensor, strength: float) -> torch.Tensor:
    wanted = torch.nn.functional.one_hot(ids.clamp(max=2), 3)
    return strength * wanted.permute(0, 3, 1, 2).float()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["entropy", "both", "jaccard"])
def test_right_scores_lose_less_than_wrong_ones(share: float) -> None:
    ids, weights = truth(), torch.ones(3)
    right = segmentation_loss(scores_for(ids, 20), ids, weights=weights, jaccard=share)
    wrong = segmentation_loss(scores_for((ids.clamp(max=2) + 1) % 3, 20), ids, weights=weights, jaccard=share)
    assert float(right) == pytest.approx(0, abs=1e-3)
    assert float(wrong) > 0.9


def test_ignored_pixels_do_not_count() -> None:
    ids, weights = truth(), torch.ones(3)
    scores = scores_for(ids, 3.0)
    changed = scores.clone()
    changed[:, :, 0, 0] = torch.tensor([-9.0, 4.0, 9.0])
    for share in (0.0, 1.0):
        a = segmentation_loss(scores, ids, weights=weights, jaccard=share)
        b = segmentation_loss(changed, ids, weights=weights, jaccard=share)
        assert float(a) == pytest.approx(float(b), abs=1e-6)


def test_jaccard_is_one_minus_iou_of_sure_scores() -> None:
    ids = torch.zeros(1, 2, 4, dtype=torch.int64)
    ids[0, 1] = 1
    guess = ids.clone()
    guess[0, 1, :2] = 0
    loss = segmentation_loss(scores_for(guess, 60), ids, weights=torch.ones(3), jaccard=1.0)
    assert float(loss) == pytest.approx(1 - (4 / 6 + 2 / 4) / 2, abs=1e-4)
