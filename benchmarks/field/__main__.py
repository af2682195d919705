"""``uv run python -m benchmarks.field``: see README.md beside this file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.field.bench import Order, calibration_data, can_ask, hold_all, names, on_record
from benchmarks.field.recipes import LIST, read_networks
from benchmarks.field.records import sources_digest
from benchmarks.field.table import failures, markdown, summary_json
from benchmarks.field.trial import Terms
from mosaic_deploy.errors import MosaicError, UsageError
from mosaic_deploy.files import write_whole
from mosaic_deploy.specs.registry import nearest

TARGETS = ("ort-mobile", "cpu", "dsp", "gpu", "openvino")
"""ort-mobile first: the others' int8 agreement is compared with its."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Hold the bench; 1 where anything that was cleared is not built or is wrong, 2 for a wrong request."""
    asked = _parser().parse_args(arguments)
    try:
        order = _order(asked)
        trials = on_record(order) if asked.table else hold_all(order, _say)
        table = markdown(trials)
        order.out.mkdir(parents=True, exist_ok=True)
        write_whole(order.out / "field.md", table)
        write_whole(order.out / "field.json", json.dumps(summary_json(trials), indent=1) + "\n")
    except MosaicError as err:
        _say(f"error: {err}")
        return err.exit_code
    print(table)
    bad = failures(trials)
    for line in bad:
        _say(line)
    return int(bool(bad))


def _order(asked: argparse.Namespace) -> Order:
    targets = names(asked.target, TARGETS)
    for name in targets:
        if name not in TARGETS:
            raise UsageError(f"no target '{name}'{nearest(name, TARGETS)}; known: {', '.join(TARGETS)}")
    if min(asked.images, asked.calibration_images, asked.jobs) < 1:
        raise UsageError("--images, --calibration-images and --jobs are at least 1")
    terms = Terms(
        images=asked.images,
        calibration=calibration_data(asked.calibration_images),
        archs=asked.arch,
        budget_s=asked.budget,
        timeout_s=asked.timeout,
        check_only=asked.check_only,
        asks=not asked.no_ask and can_ask(),
    )
    networks = read_networks(asked.list, names(asked.network, ()))
    return Order(networks, targets, terms, asked.out, asked.jobs, sources_digest())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field", description=__doc__)
    add = parser.add_argument
    add("--network", metavar="NAME,...", help="networks; default: all of the list")
    add("--target", metavar="NAME,...", help=f"targets; default: {','.join(TARGETS)}")
    add("--list", type=Path, default=LIST, metavar="FILE", help="another list of networks")
    add("--out", type=Path, default=Path("field"), metavar="DIR", help="records, logs and the table")
    add("--images", type=int, default=2, metavar="N", help="validation images of a build")
    add("--calibration-images", type=int, default=8, metavar="N", help="images that ranges are calibrated on")
    add("--arch", default="75", metavar="NN,...", help="Hexagon architectures")
    add("--jobs", type=int, default=2, metavar="N", help="trials at a time")
    add("--budget", type=float, default=60.0, metavar="S", help="seconds that asking a compiler may take")
    add("--timeout", type=float, default=900.0, metavar="S", help="seconds after which a command is ended")
    add("--check-only", action="store_true", help="build nothing")
    add("--no-ask", action="store_true", help="ask no compiler about unknown nodes")
    add("--table", action="store_true", help="print what is on record, of whatever version")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
