"""What 8 bits of each tensor do to a network's decisions; for child processes.

Each tensor in turn is in 8 bits while the others are in 16, weights unquantised: pixels whose class changes
are counted, and weighed by the margin that the class had: the difference of its two best scores. No labels
are needed for that; where there are some, the fall of mIoU is beside it. Then sets of the worst are put into
16 bits while the rest is in 8: what that will come to, before anything is compiled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from numpy.typing import NDArray

from mosaic_deploy.graph.execute import Session
from mosaic_deploy.quantize.decisions import Decision, changed, decide, picture, threshold_of
from mosaic_deploy.quantize.fed_images import FedImages
from mosaic_deploy.quantize.mixed import in_float, island, without_clips
from mosaic_deploy.quantize.qdq import Inserted, Style, pairs_inserted
from mosaic_deploy.quantize.switches import Switchable, switchable, with_weights
from mosaic_deploy.quantize.truth import Truth
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

_CALIBRATED, _RANKED, _TRIED = 0.3, 0.9, 1.0
"""Shares of the work that are done when each part ends."""
_NOTHING: frozenset[str] = frozenset()
Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Said:
    """What a network says of some images."""

    decisions: tuple[Decision, ...]
    miou: float | None
    """Against the labels, in [0, 1]; None where there are none."""


def rank(style: Style, request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Measure every activation, and with ``request["weights"]`` every weight.

    The request is that of ``quantize_as``, with ``held_out`` (.npy files of inputs), ``ranked`` (how many
    of them tensors are measured on), ``shares`` (of the activations that are lifted in each step, growing),
    ``blocked`` (tensors that must stay in 8 bits) and, for mIoU, ``labels`` and ``contract``.

    Returns:
        ``activations`` and ``weights``: each a list of ``name``, ``op`` (that makes or reads it), ``flips``,
        ``lost`` and ``drop`` of mIoU, the worst first; ``steps``, for each share its ``sixteen`` (names),
        their ``spans`` ([low, high]), ``lifted`` (their share), ``conversions``, ``agreement`` and ``miou``;
        ``agreement`` and ``miou`` of 8 bits throughout; ``float_miou``; ``switches``, how many activations
        there are. What is of mIoU is None without labels.

    Raises ``ModelError`` as ``quantize_as`` does.
    """
    made = pairs_inserted(
        style, {**request, "mixed": None, "wide": True}, lambda s, t: on_progress(_CALIBRATED * s, t)
    )
    found = switchable(made.model, made.plain, made.ranges)
    probe = _Probe(found, request, FedImages.of(request, made))
    few = request["held_out"][: request["ranked"]]
    activations = list(_activations(probe, few, made, on_progress))
    activations.sort(key=lambda entry: (-entry["lost"], -entry["flips"]))
    weights = list(_weights(probe, few, made)) if request.get("weights") else []
    weights.sort(key=lambda entry: (-entry["lost"], -entry["flips"]))
    steps = _steps(activations, made, found, request)
    rest = _Predictor.of(probe, request)
    every = frozenset(found.switches)
    for index, step in enumerate(steps):
        on_progress(_RANKED + (_TRIED - _RANKED) * index / len(steps), "predicting")
        left = every - {s for s in every if set(found.alike[s]) <= set(step["sixteen"])}
        step |= rest(left, floats=_in_float(style, made, found, step["sixteen"]))
    return {
        "activations": activations,
        "weights": weights,
        "steps": steps,
        **rest(every),
        "float_miou": rest.base.miou,
        "switches": len(found.switches),
    }


def _activations(
    probe: _Probe, images: Sequence[str], made: Inserted, on_progress: OnProgress
) -> Iterator[JsonObject]:
    session = Session(probe.found.model, threads=probe.threads, optimize=True)
    base = probe.said(session, images, _NOTHING)
    ops = _makers(made)
    names = probe.found.switches
    for index, name in enumerate(names):
        loss = _loss(base, probe.said(session, images, frozenset({name})))
        yield {"name": name, "op": ops.get(name, "Input"), **loss}
        on_progress(_CALIBRATED + (_RANKED - _CALIBRATED) * (index + 1) / len(names), name)


def _weights(probe: _Probe, images: Sequence[str], made: Inserted) -> Iterator[JsonObject]:
    session = Session(probe.found.model, threads=probe.threads, optimize=True)
    base = probe.said(session, images, _NOTHING)
    ops = {name: node.op_type for node in made.plain.graph.node for name in node.input}
    for name in probe.found.weights:
        model = with_weights(probe.found, frozenset({name}))
        other = Session(model, threads=probe.threads, optimize=True)
        loss = _loss(base, probe.said(other, images, _NOTHING))
        yield {"name": name, "op": ops.get(name, ""), **loss}


def _in_float(style: Style, made: Inserted, found: Switchable, chosen: Sequence[str]) -> frozenset[str]:
    """Weights that are floats where chosen activations are: those of operators that then compute in float."""
    if style.finer != "float":
        return frozenset()
    nodes = set(in_float(made.plain, chosen))
    reads = (name for node in made.plain.graph.node if node.name in nodes for name in node.input)
    return frozenset(reads) & frozenset(found.weights)


def _loss(base: Said, other: Said) -> JsonObject:
    flips, lost = changed(base.decisions, other.decisions)
    drop = None if base.miou is None or other.miou is None else base.miou - other.miou
    return {"flips": flips, "lost": lost, "drop": drop}


def _makers(made: Inserted) -> dict[str, str]:
    """Operator that makes each tensor; of one that became a part of its grid, what comes before it."""
    import onnx

    plain = onnx.ModelProto()
    plain.CopyFrom(made.plain)
    without_clips(plain)
    return {name: node.op_type for node in plain.graph.node for name in node.output}


def _steps(
    ranked: Sequence[JsonObject], made: Inserted, found: Switchable, request: JsonObject
) -> list[JsonObject]:
    """For each share the tensors that take the most loss with them, what goes with them counted."""
    import onnx

    plain = onnx.ModelProto()
    plain.CopyFrom(made.plain)
    without_clips(plain)
    image = plain.graph.input[0].name
    lifts = _Lifts.of(plain, ranked, found, {*request.get("blocked", ()), image})
    steps: list[JsonObject] = []
    for share in request["shares"]:
        chosen = lifts.up_to(round(share * len(found.switches)))
        if chosen and (not steps or steps[-1]["sixteen"] != chosen):
            steps.append(
                {
                    "sixteen": chosen,
                    "spans": [[float(end) for end in made.extents[name]] for name in chosen],
                    "lifted": len(lifts.lifted) / max(len(found.switches), 1),
                    "conversions": island(plain, chosen).conversions,
                }
            )
    return steps


@dataclass(slots=True)
class _Lifts:
    """Tensors that are lifted one after another: always the one that saves most for what it brings along.

    A tensor beside others that are lifted brings less than one by itself, so the order follows from what is
    there already. What a set brings is the union of what each brings.
    """

    alike: Mapping[str, Sequence[str]]
    lost: dict[str, float]
    """Of each that may be lifted, the worst first."""
    brings: dict[str, frozenset[str]]
    """Switches of what then comes out in 16 bits."""
    chosen: list[str] = field(default_factory=list)
    lifted: set[str] = field(default_factory=set)
    """Switches."""

    @classmethod
    def of(
        cls, plain: onnx.ModelProto, ranked: Sequence[JsonObject], found: Switchable, blocked: set[str]
    ) -> _Lifts:
        """Follow each tensor to what it brings; one that would bring a blocked tensor stays."""
        switch = {name: key for key, names in found.alike.items() for name in names}
        brings, lost = {}, {}
        for entry in ranked:
            names = found.alike[entry["name"]]
            sixteen = island(plain, names).sixteen
            if sixteen and not blocked & {*names, *sixteen}:
                brings[entry["name"]] = frozenset(switch[name] for name in sixteen if name in switch)
                lost[entry["name"]] = float(entry["lost"])
        return cls(found.alike, lost, brings)

    def up_to(self, most: int) -> list[str]:
        """All that are chosen once no more than so many switches are lifted."""
        while True:
            added = {name: len(self.brings[name] - self.lifted) for name in self.lost}
            room = most - len(self.lifted)
            fitting = [name for name, more in added.items() if more <= room]
            if not fitting:
                return list(self.chosen)
            best = max(fitting, key=lambda name: (not added[name], self.lost[name] / max(added[name], 1)))
            del self.lost[best]
            self.chosen += self.alike[best]
            self.lifted |= self.brings[best]


@final
class _Probe:
    """Runs a graph with switches on images."""

    def __init__(self, found: Switchable, request: JsonObject, fed: FedImages) -> None:
        self.found = found
        self.fed = fed
        self.threads = int(request["threads"])
        self._truth = Truth.of(request)
        self._last = request["layout"] == "NHWC" if "layout" in request else False
        self._threshold = threshold_of(request)

    def said(self, session: Session, images: Sequence[str], on: frozenset[str]) -> Said:
        """What the graph says with these switches on."""
        return self.read(session, images, self.fed, self.found.feed(on))

    def read(self, session: Session, images: Sequence[str], fed: FedImages, feeds: Feeds) -> Said:
        """What a graph that takes these images says, with ``feeds`` beside each."""
        port, outputs, decisions = session.inputs[0], [], []
        for path in images:
            image = fed.read(path, port)
            outputs.append(session.run({port.name: image, **feeds})[0])
            decisions.append(
                decide(outputs[-1], channels_last=self._last, part=picture(image), threshold=self._threshold)
            )
        return Said(tuple(decisions), None if self._truth is None else self._truth.miou(outputs))


@dataclass(frozen=True, slots=True)
class _Predictor:
    """Predicts what a choice of switches gives."""

    probe: _Probe
    session: Session
    images: Sequence[str]
    base: Said
    """The float graph's."""

    @classmethod
    def of(cls, probe: _Probe, request: JsonObject) -> _Predictor:
        """Run the float graph first."""
        plain = Session(Path(request["onnx"]), threads=probe.threads, optimize=True)
        images = request["held_out"]
        base = probe.read(plain, images, FedImages.of(request), {})
        session = Session(with_weights(probe.found), threads=probe.threads, optimize=True)
        return cls(probe, session, images, base)

    def __call__(self, on: frozenset[str], *, floats: frozenset[str] = _NOTHING) -> JsonObject:
        """``agreement``, the share of the pixels that keep the float graph's class, and ``miou``.

        Weights are quantised but for ``floats``.
        """
        session = self.session
        if floats:
            model = with_weights(self.probe.found, frozenset(self.probe.found.weights) - floats)
            session = Session(model, threads=self.probe.threads, optimize=True)
        said = self.probe.said(session, self.images, on)
        return {"agreement": 1 - changed(self.base.decisions, said.decisions)[0], "miou": said.miou}
