"""Where two ways to run one network part: the first tensor by bisection, then its operators alone.

    A, B ─ named tensors that both have ─► bisection: cut there, compile, run on the images, compare
         ─► the first that parts ─► what computes it, cut out, both fed what B saw ─► again, or not

What a probe costs is a compilation and a run, so there are few of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.artifact.open import Artifact, workspace
from mosaic_deploy.backends.protocol import WorkDir
from mosaic_deploy.build.diff.bisect import first_wrong
from mosaic_deploy.build.diff.bound import (
    Distance,
    bound_in_steps,
    bound_of_floats,
    coarser,
    distance,
    size_of,
)
from mosaic_deploy.build.diff.case import write_case
from mosaic_deploy.build.diff.found import Alone, Diff, DiffRequest, Probe
from mosaic_deploy.build.diff.named import Grid
from mosaic_deploy.build.diff.network import Network
from mosaic_deploy.build.diff.noise import spread
from mosaic_deploy.build.diff.prober import Arrays
from mosaic_deploy.build.diff.side import Asked, Side, ask
from mosaic_deploy.datasets import open_data
from mosaic_deploy.datasets.samples import FileDataset
from mosaic_deploy.errors import ModelError, RefusedError, UsageError
from mosaic_deploy.files import require_free
from mosaic_deploy.specs.toolchain import require_toolchain
from mosaic_deploy.workers.progress import StageProgress, silent


def diff(request: DiffRequest, *, progress: StageProgress = silent) -> Diff:
    """Find the first tensor where two sides part, and write the case into ``request.out`` if they do.

    Raises:
        UsageError: a side, a number or the place makes no sense, or the sides have no tensor in common.
        ModelError: an artifact cannot be used.
        DataError: the images cannot be read.
        ToolError: a runtime is missing or failed.
    """
    if request.images < 1 or request.spots < 0 or not request.slack > 0:
        raise UsageError("--images must be 1 or more, --spots 0 or more, and --slack above 0")
    if request.out is not None:
        require_free(request.out, force=request.force)
    asked = (ask(request.first), ask(request.second))
    artifacts = _artifacts(asked)
    data = open_data(request.data, split="val").take(request.images)
    with workspace() as space:
        sides: list[Side] = []
        networks: dict[Path, Network] = {}
        for place, (one, artifact) in enumerate(zip(asked, artifacts, strict=True)):
            own = WorkDir(space.scratch / f"side-{place}", space.logs / f"side-{place}")
            own.scratch.mkdir()
            own.logs.mkdir()
            folder = artifact.built.folder
            if folder not in networks:
                networks[folder] = Network(artifact, _prepare(artifact, data, own), own)
            progress("prepare", place / len(asked), one.text)
            sides.append(networks[folder].side(one, own))
            require_toolchain(sides[-1].prober.toolchain, progress)
        progress("prepare", 1.0, "")
        found = _Search(sides[0], sides[1], request, data.name, progress).run()
    if found.parts and request.out is not None:
        write_case(found, request)
    return found


def _artifacts(asked: tuple[Asked, Asked]) -> tuple[Artifact, Artifact]:
    first, second = asked[0].artifact or asked[1].artifact, asked[1].artifact or asked[0].artifact
    if first is None or second is None:
        raise UsageError("one side at least must be an artifact's folder, whose network is compared")
    size = (first.contract.height, first.contract.width)
    if size != (second.contract.height, second.contract.width):
        raise UsageError(f"{asked[0].text} and {asked[1].text}: they take images of different sizes")
    return first, second


def _prepare(artifact: Artifact, data: FileDataset, space: WorkDir) -> list[Path]:
    folder = space.scratch / "images"
    folder.mkdir()
    paths = []
    for index in range(len(data)):
        paths.append(folder / f"{index:05d}.npy")
        np.save(paths[-1], artifact.contract.prepare(data[index].image), allow_pickle=False)
    return paths


def _starts(names: list[str], spots: int) -> list[str]:
    """The last tensor, and so many others evenly between it and the first, the latest first."""
    places = [round((spots - spot) * len(names) / (spots + 1)) for spot in range(spots)]
    return [names[-1], *(names[place] for place in places if place < len(names))]


@dataclass(slots=True)
class _Search:
    first: Side
    second: Side
    request: DiffRequest
    dataset: str
    progress: StageProgress
    probes: list[Probe] = field(default_factory=list)
    moved: dict[str, float] | None = None
    """What noise does, once it is known; see ``noise.spread``."""

    def run(self) -> Diff:
        """Bisect, then run what was found alone."""
        common = self._common()
        graph = self.second.graph
        ancestors = {name: graph.ancestors[name] & common.keys() for name in common}
        makers = {name: [m for m in graph.nearest(name, common) if m in common] for name in common}
        found = first_wrong(ancestors, makers, _starts([*common], self.request.spots), self._wrong)
        self.progress("bisect", 1.0, "")
        alone = None
        if found is not None:
            alone = self._smallest(found, common)
        return Diff(
            sides=(self.first.title, self.second.title),
            ran_on=(self.first.prober.ran_on, self.second.prober.ran_on),
            dataset=self.dataset,
            images=len(self.second.images),
            candidates=len(common),
            probes=tuple(self.probes),
            found=found,
            alone=alone,
        )

    def _common(self) -> dict[str, None]:
        """Tensors that both have, in the second's order."""
        known = {*self.first.candidates} & {*self.second.candidates}
        names = {name: None for name in self.second.graph.tensors if name in known}
        if not names or self.first.graph.image.name != self.second.graph.image.name:
            raise UsageError(
                f"{self.first.title} and {self.second.title}: have no tensor of the same name: are they of "
                "one network?"
            )
        return names

    def _wrong(self, name: str, left: int) -> bool:
        done = len(self.probes)
        self.progress(
            "bisect", done / (done + left + 1), f"probe {done + 1} of about {done + left + 1}: {name}"
        )
        measured = self._distance(name, self.first.values(name), self.second.values(name), self._bound(name))
        self.probes.append(Probe(name, measured))
        return measured.parts

    def _bound(self, name: str) -> float:
        """From the image on."""
        one = self._rounding()
        if self.moved is None and one.rounds:
            self.progress("bisect", 0.0, "what rounding does in this network")
            self.moved = spread(
                one.graph.model,
                {one.graph.image.stored: one.images[0]},
                [one.graph.tensors[tensor] for tensor in self._common()],
                folder=one.space.scratch / "noise",
                same_grid=self._alike(),
                plain=None if self._alike() or one.plain is None else one.plain.model,
            )
        moved = 0.0 if self.moved is None else self.moved[name]
        return self._bounded(name, moved, self.second.graph.tensors[name].depth, self.first.values(name))

    def _bounded(self, name: str, moved: float, depth: int, expected: Arrays) -> float:
        """What may be, of what noise does there in the tensor's own unit."""
        grid = self._grid(name)
        if grid is not None:
            return bound_in_steps(moved / grid.scale, self.request.slack)
        return bound_of_floats(depth, self.request.slack, moved / size_of(expected))

    def _grids(self, name: str) -> tuple[Grid | None, Grid | None]:
        return self.first.graph.tensors[name].grid, self.second.graph.tensors[name].grid

    def _grid(self, name: str) -> Grid | None:
        return coarser(*self._grids(name))

    def _alike(self) -> bool:
        """Whether both round at the same places, their weights too."""
        first, second = (one.plain is not None for one in (self.first, self.second))
        grids = (self._grids(tensor) for tensor in self._common())
        return first == second and all(one == other for one, other in grids)

    def _rounding(self) -> Side:
        """The side whose graph rounds; where both do, one that knows its weights as they were, or the second.

        Two that round in different places part by what both do to their weights.
        """
        sides = [one for one in (self.second, self.first) if one.rounds]
        known = [one for one in sides if one.plain is not None]
        return (known or sides or [self.first])[0]

    def _distance(
        self, name: str, first: tuple[NDArray[Any], ...], second: tuple[NDArray[Any], ...], bound: float
    ) -> Distance:
        if any(a.shape != b.shape for a, b in zip(first, second, strict=True)):
            raise ModelError(
                f"'{name}' has shape {list(first[0].shape)} in {self.first.title} and "
                f"{list(second[0].shape)} in {self.second.title}: they are not of one network"
            )
        return distance(first, second, self._grid(name), bound=bound)

    def _smallest(self, name: str, common: Collection[str]) -> Alone:
        """The operators that compute a tensor, with as many before them as a compiler wants to take them."""
        graph = self.second.graph
        makers = graph.nearest(name, common)
        while True:
            try:
                return self._alone(name, makers)
            except RefusedError:
                before = [graph.nearest(m, common) if m in graph.tensors else (m,) for m in makers]
                wider = tuple(dict.fromkeys(maker for some in before for maker in some))
                if wider == makers:
                    raise  # the whole network, which a compiler took before
                makers = wider

    def _alone(self, name: str, makers: tuple[str, ...]) -> Alone:
        """Feed both what the second one saw: its makers' values, the image as each takes it."""
        self.progress("alone", 0.0, name)
        inner = {maker: self.second.values(maker) for maker in makers if maker in self.second.graph.tensors}
        image = self.second.graph.image.name
        results = [one.alone(name, inner) for one in (self.first, self.second)]
        shown = self._rounding()
        fed = {**inner, image: shown.images} if image in makers else inner
        bound = self._bound_alone(name, shown, fed, results[0])
        measured = self._distance(name, results[0], results[1], bound)
        worst = measured.worst
        actual = results[1][worst]
        shapes = {maker: values[0].shape for maker, values in fed.items()}
        self.progress("alone", 1.0, "")
        return Alone(
            distance=measured,
            operators=shown.graph.operators(name, makers),
            model=shown.graph.part(name, shapes, results[1][worst].shape).SerializeToString(
                deterministic=True
            ),
            inputs={shown.graph.at(m).stored: shown.store(m, values[worst]) for m, values in fed.items()},
            expected=shown.store(name, results[0][worst]),
            actual=shown.store(name, actual),
            shipped=self.second.prober.shipped(worst) or self.first.prober.shipped(worst),
        )

    def _bound_alone(self, name: str, shown: Side, fed: Mapping[str, Arrays], expected: Arrays) -> float:
        """Of the part that computes a tensor from others that both sides get alike."""
        if not shown.rounds:
            return self._bounded(name, 0.0, 1, expected)
        shapes = {maker: values[0].shape for maker, values in fed.items()}
        part = shown.graph.part(name, shapes)
        plain = None if self._alike() or shown.plain is None else shown.plain.part(name, shapes)
        given = {shown.graph.at(maker).stored: shown.store(maker, values[0]) for maker, values in fed.items()}
        given[shown.graph.image.stored] = shown.images[0]
        feeds = {value.name: given[value.name] for value in part.graph.input}
        found = spread(
            part,
            feeds,
            [shown.graph.tensors[name]],
            folder=shown.space.scratch / "noise-alone",
            same_grid=self._alike(),
            plain=plain,
        )
        return self._bounded(name, found[name], 1, expected)
