"""``uv run python -m benchmarks.cases FOLDER``: see README.md beside this file."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases.listing import read_cases
from benchmarks.cases.trial import Outcome, try_case
from mosaic_deploy.errors import MosaicError
from mosaic_deploy.files import write_whole

TARGETS = ("cpu", "dsp", "edgetpu", "gpu", "openvino", "ort-mobile")


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the cases; 1 where any is not as it is expected to be, 2 for a wrong request."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cases", description=__doc__)
    parser.add_argument("folder", type=Path, help="holds models/*.onnx and images/")
    parser.add_argument("--case", default="", metavar="NAME,...", help="cases; default: all")
    parser.add_argument("--target", default=",".join(TARGETS), metavar="NAME,...", help="targets")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table to this file as well")
    asked = parser.parse_args(arguments)
    targets = [name for name in asked.target.split(",") if name]
    rows: list[list[Outcome]] = []
    with tempfile.TemporaryDirectory(prefix="mosaic-cases-") as name:
        try:
            cases = read_cases(asked.folder, Path(name), tuple(n for n in asked.case.split(",") if n))
        except MosaicError as err:
            print(f"error: {err}", file=sys.stderr)
            return err.exit_code
        for index, case in enumerate(cases):
            rows.append(try_case(case, targets, Path(name) / "builds"))
            print(f"[{index + 1}/{len(cases)}] {case.name}: {_news(rows[-1])}", file=sys.stderr, flush=True)
    table = markdown(rows, targets)
    print(table)
    if asked.out is not None:
        write_whole(asked.out, table + "\n")
    wrong = [outcome for row in rows for outcome in row if outcome.wrong]
    for outcome in wrong:
        print(f"{outcome.case.name} on {outcome.target}: {outcome.wrong}: {outcome.note}", file=sys.stderr)
    return int(bool(wrong))


def markdown(rows: Sequence[Sequence[Outcome]], targets: Sequence[str]) -> str:
    """A row per case."""
    lines = [_line(["case", "kind", *targets, "note"]), _line(["---"] * (len(targets) + 3))]
    for row in rows:
        notes = list(dict.fromkeys(outcome.note for outcome in row if outcome.note))
        note = "; ".join(notes)[:160].replace("|", "\\|")
        lines.append(_line([row[0].case.name, row[0].case.kind, *map(_cell, row), note]))
    total = sum(len(row) for row in rows)
    wrong = sum(bool(outcome.wrong) for row in rows for outcome in row)
    return "\n".join([*lines, "", f"{total - wrong} of {total} as expected"])


def _cell(outcome: Outcome) -> str:
    share = "" if outcome.agreement is None else f" {outcome.agreement:.1%}"
    return f"{'**!** ' if outcome.wrong else ''}{outcome.build}{share}"


def _news(row: Sequence[Outcome]) -> str:
    return ", ".join(f"{outcome.target} {_cell(outcome)}" for outcome in row)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
