"""Matrix products: MatMul, Gemm, the Einsum equations of vision transformers, Attention."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod, sqrt

from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Value, Wire

_Axes = Mapping[str, tuple[Value, ...]]

_BOTH = ("float32", "float16")
_CONSTANT = ("parameters_are_constant",)
_BIASED = ("parameters_are_constant", "inputs_are_computed", "inputs_are_two", "bias_is_a_row")
_BATCHES = (
    "parameters_are_constant", "first_input_is_computed", "inputs_are_computed", "batches_are_equal",
    "second_input_is_a_matrix", "inputs_are_matrices", "ranks_are_four_at_most", "rank_is_five_at_most",
)  # fmt: skip


def _columns(s: Sketch, usual: int = 20) -> int:
    """A size that the form is free to choose."""
    return int(s.rng.integers(1, 33)) if s.random else usual


def _second(s: Sketch, shape: tuple[int, ...], *, constant: bool) -> Wire:
    """The other operand, small enough to keep sums near 1."""
    if prod(shape) > 100_000:
        raise UnfitError(f"{shape} is large")
    return s.weights(shape, spread=0.3) if constant else s.input(shape, low=-1.0, high=1.0)


def _product(s: Sketch) -> None:
    """``right`` tells the other side's batch: none, the same as the left's, ones, all but its first axis."""
    x, kind = s.data(), str(s["right"])
    if x.rank < 2:
        raise UnfitError("no matrix")
    batch, columns = x.shape[:-2], _columns(s)
    named: dict[str, tuple[int, ...]] = {
        "matrix": (x.shape[-1], columns),
        "same": (*batch, x.shape[-1], columns),
        "ones": (*(1 for _ in batch), x.shape[-1], columns),
        "lower": (*batch[1:], x.shape[-1], columns),
        "higher": (2, *batch, x.shape[-1], columns),
        "vector": (x.shape[-1],),
    }
    if kind in ("same", "ones", "lower") and not batch:
        raise UnfitError("no batch")
    s.node("MatMul", [x, _second(s, named[kind], constant=bool(s["constant"]))])


def _wider(s: Sketch) -> None:
    """The left side has a batch of one, the right side's is larger."""
    shape = s.shape()
    x = s.data((*(1 for _ in shape[:-2]), *shape[-2:]))
    if x.rank < 3 or prod(x.shape[:-2]) != 1:
        raise UnfitError("a batch")
    s.node(
        "MatMul", [x, _second(s, (*x.shape[:-3], 4, x.shape[-1], _columns(s)), constant=bool(s["constant"]))]
    )


def _left(s: Sketch) -> None:
    """A constant times the data: what a fixed spatial mixing, such as an adaptive pool, becomes."""
    x = s.data()
    if x.rank < 2:
        raise UnfitError("no matrix")
    s.node("MatMul", [_second(s, (_columns(s), x.shape[-2]), constant=True), x])


def _general(s: Sketch) -> None:
    x, turned = s.data(), bool(s["trans_a"])
    if x.rank != 2:
        raise UnfitError("no matrix")
    rows, inner = x.shape[::-1] if turned else x.shape
    columns = _columns(s)
    shape = (columns, inner) if s["trans_b"] else (inner, columns)
    weights = _second(s, shape, constant=bool(s.values.get("constant", True)))
    added: dict[str, tuple[int, ...]] = {
        "row": (columns,), "line": (1, columns), "full": (rows, columns), "column": (rows, 1), "one": (1,),
    }  # fmt: skip
    bias = None if s["c"] == "none" else s.weights(added[s["c"]])
    if bias is None and s.since("Gemm") < 11:
        raise UnfitError("Gemm had to add something then")
    s.node(
        "Gemm", [x, weights, *([bias] if bias else [])],
        transA=1 if turned else None, transB=1 if s["trans_b"] else None,
        alpha=s.values.get("alpha"), beta=s.values.get("beta"),
    )  # fmt: skip


def _summed(s: Sketch) -> None:
    x, equation = s.data(), str(s["equation"])
    terms = equation.split("->")[0].split(",")
    if len(terms[0]) != x.rank:
        raise UnfitError(f"{equation} on rank {x.rank}")
    sizes = dict(zip(terms[0], x.shape, strict=True))
    for letter in sorted(set("".join(terms[1:])) - set(sizes)):
        sizes[letter] = _columns(s, 10)
    if prod(sizes.values()) > 4_000_000:
        raise UnfitError(f"{equation} on {sizes}")
    others = [
        _second(s, tuple(sizes[letter] for letter in term), constant=bool(s["constant"]))
        for term in terms[1:]
    ]
    s.node("Einsum", [x, *others], equation=equation)


def _equations(name: str, rank: int, equations: tuple[str, ...], *, constant: tuple[bool, ...]) -> Form:
    return Form(
        "Einsum",
        name,
        _summed,
        (rank,),
        axes={"equation": equations, "constant": constant},
        discriminators=_CONSTANT,
    )


def _attention(s: Sketch) -> None:
    """Queries as data: (batch, heads, tokens, width), or (batch, tokens, heads * width)."""
    heads = int(s["heads"])
    shape = list(s.shape())
    if s.rank == 4:
        shape[1] = heads
    else:
        shape[-1] = -(-shape[-1] // heads) * heads
    x = s.data(shape)
    tokens = x.shape[-2] if s["keys"] == "same" else _columns(s, 5)
    if x.rank not in (3, 4) or (x.rank == 3 and x.shape[-1] % heads):
        raise UnfitError(f"{heads} heads of {x.shape}")
    given = [s.input((*x.shape[:-2], tokens, x.shape[-1])) for _ in range(2)]
    mask = s.input((x.shape[-2], tokens), low=-2.0, high=0.0) if s["mask"] else None
    flat = heads if x.rank == 3 else None
    s.node(
        "Attention", [x, *given, mask], q_num_heads=flat, kv_num_heads=flat,
        is_causal=1 if s["causal"] else None, scale=s["scale"] and s["scale"] / sqrt(x.shape[-1]),
    )  # fmt: skip


_GEMM: _Axes = {"trans_b": (1, 0), "trans_a": (0,)}

FORMS: tuple[Form, ...] = (
    Form(
        "MatMul",
        "constant",
        _product,
        (2, 3, 4, 5),
        _BOTH,
        axes={"right": ("matrix",), "constant": (True,)},
        discriminators=_BATCHES,
    ),
    Form(
        "MatMul",
        "computed",
        _product,
        (3, 4, 5),
        _BOTH,
        axes={"right": ("same", "matrix"), "constant": (False,)},
        discriminators=_BATCHES,
    ),
    Form(
        "MatMul",
        "computed-plain",
        _product,
        (2,),
        axes={"right": ("matrix",), "constant": (False,)},
        discriminators=_BATCHES,
        least=9,
    ),
    Form(
        "MatMul",
        "broadcast",
        _product,
        (3, 4, 5),
        axes={"right": ("ones", "lower", "higher"), "constant": (False, True)},
        discriminators=_BATCHES,
        least=9,
    ),
    Form(
        "MatMul",
        "constant-batch",
        _product,
        (3, 4, 5),
        axes={"right": ("same",), "constant": (True,)},
        discriminators=_BATCHES,
        least=9,
    ),
    Form(
        "MatMul", "wider", _wider, (3, 4), axes={"constant": (False, True)}, discriminators=_BATCHES, least=9
    ),
    Form(
        "MatMul",
        "vector",
        _product,
        (2, 3, 4),
        axes={"right": ("vector",), "constant": (True, False)},
        discriminators=_BATCHES,
        least=9,
    ),
    Form("MatMul", "left", _left, (2, 3, 4), discriminators=_BATCHES, least=9),
    Form(
        "Gemm",
        "plain",
        _general,
        (2,),
        axes={**_GEMM, "c": ("row", "none", "line", "full", "column")},
        discriminators=_BIASED,
    ),
    Form(
        "Gemm",
        "turned",
        _general,
        (2,),
        axes={"trans_b": (0, 1), "trans_a": (1,), "c": ("row", "none")},
        discriminators=_BIASED,
    ),
    Form(
        "Gemm",
        "scaled",
        _general,
        (2,),
        axes={"trans_b": (1,), "trans_a": (0,), "c": ("row",), "alpha": (1.0, 0.5), "beta": (0.5, 1.0, 2.0)},
        more={"alpha": (2.0, -1.0), "beta": (0.0, -1.0)},
        discriminators=_BIASED,
    ),
    Form(
        "Gemm",
        "computed",
        _general,
        (2,),
        axes={**_GEMM, "c": ("row", "none"), "constant": (False,)},
        discriminators=_BIASED,
    ),
    _equations(
        "rank-3", 3, ("bij,bjk->bik", "bnc,bmc->bnm", "bnc,bnd->bcd", "bij,bkj->bki"), constant=(False, True)
    ),
    _equations("rank-3-weights", 3, ("bnc,cd->bnd", "bnc,dc->bnd", "bnc,nm->bmc"), constant=(True, False)),
    _equations(
        "rank-4",
        4,
        ("bhid,bhjd->bhij", "bhij,bhjd->bhid", "bchw,bkc->bkhw", "bnhd,bmhd->bhnm", "bhnm,bmhd->bnhd"),
        constant=(False, True),
    ),
    _equations(
        "rank-4-weights",
        4,
        ("bchw,oc->bohw", "bhwc,co->bhwo", "bhwc,hkc->bhwk", "bchw,c->bchw"),
        constant=(True, False),
    ),
    _equations("rank-3-queries", 3, ("bqc,bchw->bqhw",), constant=(False, True)),
    _equations("one-input", 4, ("bchw->bhwc", "bchw->bc", "bhwc->bchw"), constant=(True,)),
    Form(
        "Attention",
        "plain",
        _attention,
        (3, 4),
        axes={
            "heads": (4,),
            "keys": ("same", "fewer"),
            "mask": (False, True),
            "causal": (False,),
            "scale": (None,),
        },
        more={"heads": (1, 2, 8), "causal": (True,), "scale": (1.0, 0.5)},
    ),
    Form(
        "Attention",
        "scaled",
        _attention,
        (3, 4),
        axes={"heads": (4,), "keys": ("same",), "mask": (False,), "causal": (False, True), "scale": (0.5,)},
    ),
)
