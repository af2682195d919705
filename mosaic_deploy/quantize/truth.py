"""mIoU of a graph that is tried on a few images, where these have labels; for child processes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.accuracy.metrics import confusion, mean_iou
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import Pixels
from mosaic_deploy.workers.worker import JsonObject


@dataclass(frozen=True, slots=True)
class Truth:
    """Labels of images, and what says how outputs become class maps of their size."""

    contract: Contract
    labels: tuple[Pixels, ...]
    """(H, W) class ids of each image, 255 where nothing is scored."""

    @classmethod
    def of(cls, request: JsonObject) -> Truth | None:
        """What ``RankingTerms.to_json`` says of it; None where the images have no labels."""
        if not request.get("labels"):
            return None
        labels = tuple(np.load(Path(path), allow_pickle=False) for path in request["labels"])
        return cls(Contract.model_validate(request["contract"]), labels)

    def miou(self, outputs: Iterable[NDArray[Any]]) -> float:
        """Mean IoU, in [0, 1], of the outputs on the first images, as many as there are outputs.

        Raises ``ModelError`` for outputs of another shape than the contract's.
        """
        classes = len(self.contract.classes)
        counts = np.zeros((classes, classes), np.int64)
        for output, label in zip(outputs, self.labels, strict=False):
            ids = self.contract.class_map(output, (label.shape[0], label.shape[1]))
            counts += confusion(label, ids, classes=classes)
        return mean_iou(counts, self.contract.labels.scored)
