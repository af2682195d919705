"""deploy(): the stages in order, the same for every target; what targets share is made once.

images -> card -> float ONNX -> op checks -> float reference -> a build per target, side by side
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event

from mosaic_deploy.build.eager_maps import Eager, eager_maps
from mosaic_deploy.build.fitting import fit
from mosaic_deploy.build.float_graph import FloatGraph, GraphFile, write_float_graph
from mosaic_deploy.build.inputs import Inputs, prepare_inputs
from mosaic_deploy.build.model_source import Model
from mosaic_deploy.build.order import Common, TargetBuild
from mosaic_deploy.build.plan import Plan, Request, Unplanned, plan
from mosaic_deploy.build.reference_maps import reference_maps
from mosaic_deploy.build.report import BuildReport, Failure, Result
from mosaic_deploy.build.target_build import build
from mosaic_deploy.build.todo import Todo, sort_out
from mosaic_deploy.errors import MosaicError
from mosaic_deploy.files import disk_trouble, existing, remove_leftovers, scratch_folder, sha256_of
from mosaic_deploy.specs.fields import OutputKind
from mosaic_deploy.specs.toolchain import require_toolchain
from mosaic_deploy.workers.call import GIB, free_bytes, stoppable
from mosaic_deploy.workers.progress import OnProgress, StageProgress, silent

_BUILD_BYTES = 3 * GIB
"""What a build is expected to take at its height, with a margin."""


def deploy(request: Request, *, progress: StageProgress = silent) -> tuple[Result, ...]:
    """Build and validate a model for each target, several at a time as cores and memory allow.

    What can be refused is refused before anything is written. The artifact of each build lies in
    ``request.out / MODEL-TARGET-RECIPE``, also where a check failed. Where one lies there that was made from
    the very same, its report is given again and nothing is done, unless ``request.force``. Where several
    targets are asked for, one whose tools are missing or fail is a ``Failure`` among the results, and the
    others go on.

    Raises:
        MosaicError: the request is wrong, or the only target's tool is missing or failed; nothing of that
            build is left behind.
    """
    planned = plan(request)
    alone = len(planned) == 1
    results: dict[str, Result] = {}
    for item in planned:
        if isinstance(item, Unplanned):
            if alone:
                raise item.error
            failure = (item.model, item.target, item.recipe, str(item.error), item.error.exit_code)
            results[item.target] = Failure(*failure)
    remove_leftovers(request.out)
    kept, ready = sort_out([item for item in planned if isinstance(item, Plan)], force=request.force)
    results |= kept
    if ready:
        with _folder(request.out) as folder:
            orders, common = prepare(ready, folder, progress)
            if common.references:
                common = replace(common, eager=_eager(ready[0].plan.model, common, folder, progress))
            results |= _build_all(orders, common, progress, alone=alone)
    return tuple(results[_target(item)] for item in planned)


def _eager(model: Model, common: Common, folder: Path, progress: StageProgress) -> Eager:
    def tell(share: float, note: str) -> None:
        progress("PyTorch", share, note)

    found = eager_maps(model, common.graph, common.inputs, folder, on_progress=tell)
    if found.maps is not None:
        progress("PyTorch", 1.0, "")
    return found


def _target(item: Plan | Unplanned) -> str:
    return item.target if isinstance(item, Unplanned) else item.target.name


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A folder for what builds share, on the disk that the artifacts go to."""
    with disk_trouble(out), scratch_folder(existing(out)) as folder:
        yield folder


def prepare(todo: Sequence[Todo], folder: Path, progress: StageProgress) -> tuple[list[TargetBuild], Common]:
    """Everything that the builds share, and each one's op check; ``folder`` is the caller's, and empty.

    Raises ``MosaicError`` where toolchains, network or images cannot be used.
    """

    def stage(name: str) -> OnProgress:
        return lambda fraction, note: progress(name, fraction, note)

    ready = [job.plan for job in todo]
    for name in dict.fromkeys(name for item in ready for name in item.toolchains):
        require_toolchain(name, progress)
    model, validation = ready[0].model, ready[0].validation
    calibrations = list({len(item.calibration): item.calibration for item in ready}.values())
    graph = write_float_graph(model, folder, folder / "logs", on_progress=stage("export"))
    progress("export", 1.0, "")
    digest = sha256_of(graph.path)
    for item in ready:
        if item.ranges is not None:
            item.ranges.require_model(digest)
    inputs = prepare_inputs(
        graph.contract, graph.own, calibrations, validation, folder / "inputs", on_progress=stage("decode")
    )
    builds, kinds = _check_all(todo, graph, inputs, progress)
    if not any(build.checked is None or build.checked.passed for build in builds):
        return builds, Common(graph, kinds, inputs, {})
    references = reference_maps(graph, kinds, inputs, on_progress=stage("reference"))
    progress("reference", 1.0, "")
    return builds, Common(graph, kinds, inputs, references)


def _check_all(
    todo: Sequence[Todo], graph: FloatGraph, inputs: Inputs, progress: StageProgress
) -> tuple[list[TargetBuild], Mapping[OutputKind, GraphFile]]:
    likely = [graph.kinds(job.plan.output, job.plan.target.output) for job in todo]
    files = graph.write_kinds(dict.fromkeys(kind for kinds in likely for kind in kinds))
    builds = []
    for index, (job, kinds) in enumerate(zip(todo, likely, strict=True)):
        note = f"{job.plan.target.name}: operators, and passes for what it refuses"
        progress("check", index / len(todo), note)
        builds.append(_fitting(job, kinds, files, inputs, progress))
    progress("check", 1.0, "")
    used = {graph.contract.output, *(build.kind for build in builds)}
    return builds, {kind: file for kind, file in files.items() if kind in used}


def _fitting(
    job: Todo,
    kinds: Sequence[OutputKind],
    files: Mapping[OutputKind, GraphFile],
    inputs: Inputs,
    progress: StageProgress,
) -> TargetBuild:
    """The first kind of output that the target supports; where it supports none, the first of all."""
    tried = []
    for kind in kinds:
        fitted = fit(job.plan, files[kind], inputs.validation, on_progress=progress)
        tried.append(TargetBuild(job.plan, kind, fitted, job.made_from, job.replaced, job.may_replace))
        if fitted.checked is None or fitted.checked.passed:
            return tried[-1]
    return tried[0]


def _build_all(
    orders: Sequence[TargetBuild], common: Common, progress: StageProgress, *, alone: bool
) -> dict[str, Result]:
    """Build side by side; a failure ends its own build only, an interrupt ends them all."""
    if alone:
        (order,) = orders
        return {order.plan.target.name: build(order, common, progress=progress)}
    stop = Event()
    results: dict[str, Result] = {}
    with ThreadPoolExecutor(max_workers=min(len(orders), _at_once())) as pool:
        futures: dict[Future[BuildReport], TargetBuild] = {}
        try:
            for order in orders:
                futures[pool.submit(_build_one, order, common, progress, stop)] = order
            running = set(futures)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    results[futures[future].plan.target.name] = _result(future, futures[future])
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return results


def _build_one(order: TargetBuild, common: Common, progress: StageProgress, stop: Event) -> BuildReport:
    target = order.plan.target.name

    def tell(stage: str, share: float, note: str) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        progress(f"{target} {stage}", share, note)

    with stoppable(stop):
        return build(order, common, progress=tell)


def _result(future: Future[BuildReport], order: TargetBuild) -> Result:
    item = order.plan
    try:
        return future.result()
    except MosaicError as err:
        return Failure(item.model.card.name, item.target.name, item.recipe.name, str(err), err.exit_code)


def _at_once() -> int:
    """How many builds cores and free memory allow."""
    return max(1, min(len(os.sched_getaffinity(0)), free_bytes() // _BUILD_BYTES))
