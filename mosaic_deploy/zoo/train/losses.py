"""What training minimises: weighted cross-entropy and a soft Jaccard loss over the batch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from mosaic_deploy.specs.labels import IGNORE
from mosaic_deploy.zoo.train.config import Weighting


def class_weights(
    pixels: NDArray[np.int64], in_images_of: NDArray[np.int64], kind: Weighting
) -> NDArray[np.float32]:
    """Weigh classes by median frequency balancing (Eigen and Fergus, 2015), or its square root.

    Args:
        pixels: (C,) pixels of each class.
        in_images_of: (C,) pixels of the images that hold the class.
        kind: ``none`` gives ones.

    Returns:
        (C,) weights; 1 for a class that does not occur.
    """
    if kind == "none":
        return np.ones(len(pixels), np.float32)
    frequency = pixels / np.maximum(in_images_of, 1)
    there = frequency > 0
    median = np.median(frequency[there]) if there.any() else 1.0
    weights = np.where(there, median / np.where(there, frequency, 1), 1.0)
    return np.asarray(weights if kind == "median" else np.sqrt(weights), np.float32)


def segmentation_loss(scores: Tensor, truth: Tensor, *, weights: Tensor, jaccard: float) -> Tensor:
    """Mix cross-entropy and 1 - soft IoU, the latter over the whole batch and the classes in it.

    Args:
        scores: (N, C, H, W) float32.
        truth: (N, H, W) int64 ids, 255 where ignored.
        weights: (C,) of the cross-entropy.
        jaccard: share of the Jaccard part, in [0, 1].
    """
    entropy = cross_entropy(scores, truth, weight=weights, ignore_index=IGNORE)
    if jaccard == 0:
        return entropy
    classes = scores.shape[1]
    keep = truth != IGNORE
    wanted = one_hot(torch.where(keep, truth, 0), classes).permute(0, 3, 1, 2) * keep[:, None]
    shares = scores.softmax(dim=1) * keep[:, None]
    both = (shares * wanted).sum(dim=(0, 2, 3))
    total, present = shares.sum(dim=(0, 2, 3)), wanted.sum(dim=(0, 2, 3))
    ratio = both / (total + present - both).clamp(min=1)
    return (1 - jaccard) * entropy + jaccard * (1 - ratio[present > 0].mean())
