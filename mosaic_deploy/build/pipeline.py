"""deploy(): the stages in order, the same for every target; what targets share is made once.

card -> float ONNX -> op checks -> images -> float reference -> a build per target, side by side
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from mosaic_deploy.build.float_graph import Graph, write_float_graph
from mosaic_deploy.build.inputs import prepare_inputs
from mosaic_deploy.build.plan import Plan, Request, Unplanned, plan
from mosaic_deploy.build.reference_maps import reference_maps
from mosaic_deploy.build.report import BuildReport, Failure, Result
from mosaic_deploy.build.target_build import Common, TargetBuild, build
from mosaic_deploy.errors import MosaicError
from mosaic_deploy.files import disk_trouble, existing, require_free
from mosaic_deploy.gate.op_support.judge import check
from mosaic_deploy.workers.call import GIB, free_bytes, stoppable
from mosaic_deploy.workers.progress import StageProgress

_BUILD_BYTES = 3 * GIB
"""What a build is expected to take at its height, with a margin."""


def deploy(request: Request, *, progress: StageProgress) -> tuple[Result, ...]:
    """Build and prove a model on each target, several at a time as cores and memory allow.

    What can be refused is refused before anything is written. The artifact of each build lies in
    ``request.out / MODEL-TARGET-RECIPE``, also where a gate said no. Where several targets are asked for, one
    whose tools are missing or fail is a ``Failure`` among the results, and the others go on.

    Raises:
        MosaicError: the request is wrong, or the only target's tool is missing or failed; nothing of that
            build is left behind.
    """
    planned = plan(request)
    alone = len(planned) == 1
    for item in planned:
        if isinstance(item, Unplanned) and alone:
            raise item.error
        if isinstance(item, Plan):
            require_free(item.place, force=request.force)
    ready = [item for item in planned if isinstance(item, Plan)]
    results: dict[str, Result] = {
        item.target: Failure(item.model, item.target, item.recipe, str(item.error), item.error.exit_code)
        for item in planned
        if isinstance(item, Unplanned)
    }
    if ready:
        with _folder(request.out) as folder:
            orders, common = _prepare(ready, folder, progress)
            results |= _build_all(orders, common, request, progress, alone=alone)
    return tuple(results[_target(item)] for item in planned)


def _target(item: Plan | Unplanned) -> str:
    return item.target if isinstance(item, Unplanned) else item.target.name


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A folder for what builds share, on the disk that the artifacts go to."""
    with (
        disk_trouble(out),
        tempfile.TemporaryDirectory(prefix=".mosaic-", dir=existing(out), ignore_cleanup_errors=True) as name,
    ):
        folder = Path(name)
        (folder / "logs").mkdir()
        yield folder


def _prepare(
    ready: Sequence[Plan], folder: Path, progress: StageProgress
) -> tuple[list[TargetBuild], Common]:
    """Everything that the builds share, and each one's op check."""
    model, data = ready[0].model, ready[0].validation
    graph = write_float_graph(
        model, folder, folder / "logs", on_progress=lambda s, n: progress("export", s, n)
    )
    progress("export", 1.0, "")
    orders = _check_all(ready, graph, progress)
    if not any(order.checked is None or order.checked.passed for order in orders):
        return orders, Common(graph, {}, (), {})
    contract = graph.contract
    calibrations = {
        size: prepare_inputs(
            contract,
            taken,
            folder / f"calibration-{size}",
            on_progress=lambda s, n: progress("calibrate", s, n),
        )
        for size, taken in {len(item.calibration): item.calibration for item in ready}.items()
    }
    inputs = prepare_inputs(
        contract, data, folder / "inputs", on_progress=lambda s, n: progress("prepare", s, n)
    )
    kinds = [contract.output, *(order.kind for order in orders)]
    references = reference_maps(
        graph, kinds, inputs, data, on_progress=lambda s, n: progress("reference", s, n)
    )
    progress("reference", 1.0, "")
    return orders, Common(graph, calibrations, inputs, references)


def _check_all(ready: Sequence[Plan], graph: Graph, progress: StageProgress) -> list[TargetBuild]:
    orders = []
    for index, item in enumerate(ready):
        progress("check", index / len(ready), item.target.name)
        kind = graph.kind(item.output, item.target.output)
        checked = None
        if item.table is not None:
            model = graph.write(kind, graph.path.with_name("checked.onnx"))
            checked = check(model, table=item.table, precision=item.recipe.precision, devices=item.devices)
        orders.append(TargetBuild(item, kind, checked))
    progress("check", 1.0, "")
    return orders


def _build_all(
    orders: Sequence[TargetBuild], common: Common, request: Request, progress: StageProgress, *, alone: bool
) -> dict[str, Result]:
    """Build side by side; a failure ends its own build only, an interrupt ends them all."""
    if alone:
        (order,) = orders
        return {order.plan.target.name: build(order, common, force=request.force, progress=progress)}
    stop = Event()
    results: dict[str, Result] = {}
    with ThreadPoolExecutor(max_workers=min(len(orders), _at_once())) as pool:
        futures: dict[Future[BuildReport], TargetBuild] = {}
        try:
            for order in orders:
                futures[pool.submit(_build_one, order, common, request, progress, stop)] = order
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


def _build_one(
    order: TargetBuild, common: Common, request: Request, progress: StageProgress, stop: Event
) -> BuildReport:
    target = order.plan.target.name

    def tell(stage: str, share: float, note: str) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        progress(f"{target} {stage}", share, note)

    with stoppable(stop):
        return build(order, common, force=request.force, progress=tell)


def _result(future: Future[BuildReport], order: TargetBuild) -> Result:
    item = order.plan
    try:
        return future.result()
    except MosaicError as err:
        return Failure(item.model.card.name, item.target.name, item.recipe.name, str(err), err.exit_code)


def _at_once() -> int:
    """How many builds cores and free memory allow."""
    return max(1, min(len(os.sched_getaffinity(0)), free_bytes() // _BUILD_BYTES))
