"""Normalisations: over batches, instances, layers, groups and neighbouring channels."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Value, Wire

_Axes = Mapping[str, tuple[Value, ...]]

_CONSTANT = ("parameters_are_constant",)
_LEAST = 4  # numbers to take a deviation of: of fewer, rounding decides


def _data(s: Sketch, rank: int) -> Wire:
    x = s.data()
    if x.rank < rank:
        raise UnfitError(f"rank {x.rank}")
    return x


def _scale(s: Sketch, shape: tuple[int, ...]) -> Wire:
    return s.constant(s.rng.uniform(0.5, 1.5, shape))


def _enough(count: int) -> None:
    if count < _LEAST:
        raise UnfitError(f"the deviation of {count} numbers")


def _batch(s: Sketch) -> None:
    x = _data(s, 2)
    channels = (x.shape[1],)
    moments = [s.weights(channels), s.constant(s.rng.uniform(0.5, 2.0, channels))]
    s.node(
        "BatchNormalization", [x, _scale(s, channels), s.weights(channels), *moments], epsilon=s["epsilon"]
    )


def _batch_computed(s: Sketch) -> None:
    x = _data(s, 2)
    channels = (x.shape[1],)
    scale, bias, mean = (s.input(channels, low=0.5, high=1.5) for _ in range(3))
    s.node("BatchNormalization", [x, scale, bias, mean, s.input(channels, low=0.5, high=2.0)])


def _instance(s: Sketch) -> None:
    x = _data(s, 3)
    _enough(prod(x.shape[2:]))
    channels = (x.shape[1],)
    s.node("InstanceNormalization", [x, _scale(s, channels), s.weights(channels)], epsilon=s["epsilon"])


def _from(x: Wire, axis: int) -> tuple[int, ...]:
    """The sides from an axis on."""
    if not -x.rank <= axis < x.rank:
        raise UnfitError(f"axis {axis} of {x.rank}")
    return x.shape[axis:]


def _layer(s: Sketch) -> None:
    x, axis = _data(s, 1), int(s["axis"])
    sides = _from(x, axis)
    _enough(prod(sides))
    bias = s.weights(sides) if s["bias"] else None
    given = [x, _scale(s, sides), *([bias] if bias else [])]
    s.node("LayerNormalization", given, axis=axis, epsilon=s["epsilon"])


def _root_mean_square(s: Sketch) -> None:
    x, axis = _data(s, 1), int(s["axis"])
    sides = _from(x, axis)
    s.node("RMSNormalization", [x, _scale(s, sides)], axis=axis, epsilon=s["epsilon"])


def _group(s: Sketch) -> None:
    groups = s["groups"]
    shape = list(s.shape())
    if groups != "channels":
        shape[1] = -(-shape[1] // groups) * groups
    x = s.data(shape)
    if x.rank < 3:
        raise UnfitError(f"rank {x.rank}")
    count = x.shape[1] if groups == "channels" else int(groups)
    if x.shape[1] % count:
        raise UnfitError(f"{count} groups of {x.shape[1]} channels")
    _enough(prod(x.shape[2:]) * x.shape[1] // count)
    channels = (x.shape[1],)
    s.node(
        "GroupNormalization", [x, _scale(s, channels), s.weights(channels)], num_groups=count,
        epsilon=s["epsilon"],
    )  # fmt: skip


def _length(s: Sketch) -> None:
    x = _data(s, 1)
    _from(x, int(s["axis"]))
    s.node("LpNormalization", [x], axis=s["axis"], p=s["p"])


def _mean_variance(s: Sketch) -> None:
    x, axes = _data(s, 2), tuple(s["axes"])
    if max(axes) >= x.rank:
        raise UnfitError(f"axes {axes} of {x.rank}")
    _enough(prod(x.shape[axis] for axis in axes))
    s.node("MeanVarianceNormalization", [x], axes=axes)


def _local(s: Sketch) -> None:
    alpha, beta, bias = s["terms"]
    s.node("LRN", [_data(s, 3)], size=s["size"], alpha=alpha, beta=beta, bias=bias)


_EPSILONS: _Axes = {"epsilon": (1e-5, 1e-3)}
_RARE_EPSILONS: _Axes = {"epsilon": (1e-6, 1e-2)}

FORMS: tuple[Form, ...] = (
    Form(
        "BatchNormalization",
        "plain",
        _batch,
        (2, 3, 4, 5),
        axes=_EPSILONS,
        more=_RARE_EPSILONS,
        discriminators=_CONSTANT,
    ),
    Form("BatchNormalization", "computed", _batch_computed, discriminators=_CONSTANT),
    Form(
        "InstanceNormalization",
        "plain",
        _instance,
        (3, 4, 5),
        axes=_EPSILONS,
        more=_RARE_EPSILONS,
        discriminators=_CONSTANT,
    ),
    Form(
        "LayerNormalization",
        "last-axis",
        _layer,
        (2, 3, 4, 5),
        axes={"axis": (-1,), "bias": (True, False), "epsilon": (1e-5, 1e-6)},
        more={"epsilon": (1e-12, 1e-3)},
        discriminators=("axis_is_last",),
    ),
    Form(
        "LayerNormalization",
        "more-axes",
        _layer,
        (3, 4),
        axes={"axis": (1, -2), "bias": (True, False), "epsilon": (1e-5,)},
        more={"axis": (0, 2, -3)},
        discriminators=("axis_is_last",),
    ),
    Form(
        "RMSNormalization",
        "last-axis",
        _root_mean_square,
        (2, 3, 4),
        axes={"axis": (-1,), **_EPSILONS},
        more=_RARE_EPSILONS,
        discriminators=("axis_is_last",),
    ),
    Form(
        "RMSNormalization",
        "more-axes",
        _root_mean_square,
        (3, 4),
        axes={"axis": (1,), "epsilon": (1e-5,)},
        more={"axis": (-2, 0)},
        discriminators=("axis_is_last",),
    ),
    Form(
        "GroupNormalization",
        "plain",
        _group,
        (3, 4, 5),
        axes={"groups": (2, 4, 1, "channels"), "epsilon": (1e-5,)},
        more={"groups": (3, 8), "epsilon": (1e-3,)},
        discriminators=_CONSTANT,
        least=21,
    ),
    Form(
        "LpNormalization",
        "plain",
        _length,
        (2, 3, 4),
        axes={"axis": (-1, 1), "p": (2, 1)},
        more={"axis": (0, 2, -2)},
        discriminators=("axis_is_last",),
    ),
    Form(
        "MeanVarianceNormalization",
        "plain",
        _mean_variance,
        axes={"axes": ((0, 2, 3), (2, 3), (1, 2, 3))},
        more={"axes": ((1,), (3,), (2,))},
    ),
    Form(
        "LRN",
        "plain",
        _local,
        axes={"size": (5, 3), "terms": ((0.0001, 0.75, 1.0), (0.5, 0.5, 2.0))},
        more={"size": (1, 7, 9), "terms": ((1.0, 1.0, 1.0),)},
    ),
)
