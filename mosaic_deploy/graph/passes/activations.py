"""Activations, written with what targets have."""

from __future__ import annotations

import math

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site


def _dropout(site: Site) -> bool:
    """Dropout and Identity, which do nothing at inference, removed.

    x -> Dropout -> y    becomes    x = y
    """
    training = site.input(2)
    if training:
        value = site.constant(2)
        if value is None or bool(value):
            return False
    if any(
        name and (site.graph.consumers(name) or name in site.graph.protected) for name in site.node.output[1:]
    ):
        return False  # somebody wants the mask
    return site.replace_with(site.x)


DROPOUT = Pass(
    name="dropout", summary="Dropout -> nothing", anchors=("Dropout",), bit_exact=True, rewrite=_dropout
)


def _hardswish(site: Site) -> bool:
    """HardSwish with what every runtime has.

        x -> HardSwish -> y    becomes    y = x * Clip(x + 3, 0, 6) * (1 / 6)

    The Clip from 0 to 6 is a ReLU6, which also targets without HardSwish run.
    """
    moved = site.op("Add", site.x, site.number(3))
    gate = site.op("Clip", moved, site.number(0), site.number(6))
    return site.replace_with(site.op("Mul", site.op("Mul", site.x, gate), site.number(1 / 6)))


HARDSWISH = Pass(
    name="hardswish",
    summary="HardSwish -> x * Clip(x + 3, 0, 6) / 6",
    anchors=("HardSwish",),
    rewrite=_hardswish,
)


def _hardsigmoid(site: Site) -> bool:
    """HardSigmoid with what every runtime has.

        x -> HardSigmoid(alpha, beta) -> y    becomes    y = Clip(x * alpha + beta, 0, 1)

    With alpha 1/6 and beta 1/2, as networks mostly have it, y = Clip(x + 3, 0, 6) * (1 / 6), a ReLU6.
    """
    alpha, beta = site.attr_float("alpha", 0.2), site.attr_float("beta", 0.5)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and math.isclose(beta, 0.5, rel_tol=1e-6):
        moved = site.op("Add", site.x, site.number(3))
        gate = site.op("Clip", moved, site.number(0), site.number(6))
        return site.replace_with(site.op("Mul", gate, site.number(1 / 6)))
    line = site.op("Add", site.op("Mul", site.x, site.number(alpha)), site.number(beta))
    return site.replace_with(site.op("Clip", line, site.number(0), site.number(1)))


HARDSIGMOID = Pass(
    name="hardsigmoid",
    summary="HardSigmoid -> Clip(x * alpha + beta, 0, 1)",
    anchors=("HardSigmoid",),
    rewrite=_hardsigmoid,
)


def _swish(site: Site) -> bool:
    """Swish (SiLU) with a Sigmoid.

    x -> Swish(alpha) -> y    becomes    y = x * Sigmoid(alpha * x)
    """
    alpha = site.attr_float("alpha", 1.0)
    inner = site.x if alpha == 1 else site.op("Mul", site.x, site.number(alpha))
    return site.replace_with(site.op("Mul", site.x, site.op("Sigmoid", inner)))


SWISH = Pass(
    name="swish",
    summary="Swish -> x * Sigmoid(alpha * x)",
    anchors=("Swish",),
    rewrite=_swish,
)


def _mish(site: Site) -> bool:
    """Mish with its two parts.

    x -> Mish -> y    becomes    y = x * Tanh(Softplus(x))
    """
    return site.replace_with(site.op("Mul", site.x, site.op("Tanh", site.op("Softplus", site.x))))


MISH = Pass(
    name="mish",
    summary="Mish -> x * Tanh(Softplus(x))",
    anchors=("Mish",),
    rewrite=_mish,
)


def _softsign(site: Site) -> bool:
    """Softsign with a division.

    x -> Softsign -> y    becomes    y = x / (1 + Abs(x))
    """
    return site.replace_with(site.op("Div", site.x, site.op("Add", site.op("Abs", site.x), site.number(1))))


SOFTSIGN = Pass(
    name="softsign",
    summary="Softsign -> x / (1 + Abs(x))",
    anchors=("Softsign",),
    rewrite=_softsign,
)


def _celu(site: Site) -> bool:
    """Celu with an Elu.

        x -> Celu(alpha) -> y    becomes    y = Elu(x / alpha) * alpha

    Below 0 it is alpha * (exp(x / alpha) - 1), above 0 it is x. With alpha 1 the two are the same operator.
    """
    alpha = site.attr_float("alpha", 1.0)
    if alpha <= 0:
        return False
    if alpha == 1:
        return site.replace_with(site.op("Elu", site.x))
    inner = site.op("Elu", site.op("Mul", site.x, site.number(1 / alpha)))
    return site.replace_with(site.op("Mul", inner, site.number(alpha)))


CELU = Pass(name="celu", summary="Celu -> Elu(x / alpha) * alpha", anchors=("Celu",), rewrite=_celu)


def _neg(site: Site) -> bool:
    """Neg as a multiplication.

    x -> Neg -> y    becomes    y = x * -1
    """
    return site.floating and site.replace_with(site.op("Mul", site.x, site.number(-1)))


NEG = Pass(name="neg", summary="Neg -> x * -1", anchors=("Neg",), bit_exact=True, rewrite=_neg)


def _prelu(site: Site) -> bool:
    """PRelu with two Relu.

    x, slope -> PRelu -> y    becomes    y = Relu(x) + Relu(-x) * -slope
    """
    slope = site.constant(1)
    if slope is None or not site.floating:
        return False
    below = site.op("Relu", site.op("Mul", site.x, site.number(-1)))
    part = site.op("Mul", below, site.const(-slope))
    return site.replace_with(site.op("Add", site.op("Relu", site.x), part))


PRELU = Pass(
    name="prelu",
    summary="PRelu -> Relu(x) - slope * Relu(-x)",
    anchors=("PRelu",),
    rewrite=_prelu,
)

_SLOPE = 2 / math.sqrt(math.pi)
_CUBE = _SLOPE * 0.044715 * 2


def _erf(site: Site) -> bool:
    """Erf, where it is no GELU, by a tanh. Lossy: off by 4e-4 at most.

    x -> Erf -> y    becomes    y = Tanh(1.12838 * x + 0.10091 * x * x * x)
    """
    square = site.op("Mul", site.x, site.x)
    factor = site.op("Add", site.op("Mul", square, site.number(_CUBE)), site.number(_SLOPE))
    return site.replace_with(site.op("Tanh", site.op("Mul", site.x, factor)))


ERF = Pass(
    name="erf",
    summary="Erf -> Tanh(1.12838 * x + 0.10091 * x * x * x)",
    anchors=("Erf",),
    exact=False,
    requires=("gelu_fused", "gelu_approximate"),
    rewrite=_erf,
)
