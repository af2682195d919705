"""What every network of the zoo is: scores at its own stride, and a head that finishes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from torch import Tensor, nn

from mosaic_deploy.zoo.layers.layers import Resize, Sampling

Head = Literal["logits", "lowres", "classmap"]


class Network(nn.Module, ABC):
    """A segmentation network: subclasses give ``scores``, ``forward`` finishes them as ``head`` says.

    ``head`` may be changed at any time: it holds no weights.
    """

    def __init__(self, *, head: Head, sampling: Sampling) -> None:
        super().__init__()
        self.head: Head = head
        self.resize = Resize(sampling)

    @abstractmethod
    def scores(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W), normalised as the contract says, to (N, classes, h, w) at the net's stride.

        Raises ``ModelError`` where the image is too small for the network.
        """

    def training_scores(self, image: Tensor) -> tuple[Tensor, ...]:
        """Scores that training adds the losses of; networks with auxiliary heads give theirs too."""
        return (self.scores(image),)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) to the head's output.

        Returns:
            ``lowres``: the scores as they are; ``logits``: (N, classes, H, W), resized bilinearly;
            ``classmap``: (N, H, W) int32, the first of the highest logits.
        """
        scores = self.scores(image)
        if self.head == "lowres":
            return scores
        full: Tensor = self.resize(scores, (int(image.shape[2]), int(image.shape[3])))
        return full if self.head == "logits" else full.argmax(dim=1).int()
