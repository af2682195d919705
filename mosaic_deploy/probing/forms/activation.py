"""Activations: one input, one output, the same shape."""

from __future__ import annotations

from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.sketch import Sketch

_RANKS = (1, 2, 3, 4, 5)


def _plain(op: str) -> Form:
    def draw(s: Sketch) -> None:
        s.node(op, [s.data()])

    return Form(op, "plain", draw, ranks=_RANKS)


def _leaky(s: Sketch) -> None:
    s.node("LeakyRelu", [s.data()], alpha=s["alpha"])


FORMS = (
    *(_plain(op) for op in ("Relu", "Sigmoid", "Tanh")),
    Form("LeakyRelu", "plain", _leaky, _RANKS, axes={"alpha": (0.01, 0.2, 1.5)}, more={"alpha": (0.0, -0.3)}),
)
