"""Give thousands of hostile models to the op gate; each must get a verdict or one clear error.

    uv run python -m benchmarks.fuzz_models [COUNT] [--seed S] [--start N] [--jobs J] [--fix]
                                           [--model FILE ...]

Mutant n of a seed is the same on every machine, so a run that was stopped goes on with ``--start``. A model
takes some 50 ms. Exit status 1 if one got neither; such files are kept under ``--out``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.graph.reader.fuzz_judge import Judge, Judgement
from tests.graph.reader.fuzz_models import KINDS, Mutant, mutant, write
from tests.graph.reader.fuzz_seeds import Seed, seeds

OUTCOMES = ("verdict", "error", "violation")
DEPTHS = {"by onnx": "not sound ONNX", "onnx crashed": "cannot tell its shapes"}
_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to try, and where."""

    count: int
    start: int
    run: int
    jobs: int
    out: Path
    models: tuple[Seed, ...]
    fixes: bool
    """Whether each is also rewritten as ``check --fix`` would."""


@dataclass(frozen=True, slots=True)
class Result:
    """One mutant's fate."""

    number: int
    kind: str
    seed: str
    judgement: Judgement


def judged(plan: Plan, job: int) -> Iterator[Result]:
    """Judge every ``jobs``-th mutant from the ``job``-th on; reproducers of violations go to ``out``."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as root:
        home = Path(root)
        judge = Judge(home, fixes=plan.fixes)
        try:
            for number in range(plan.start + job, plan.start + plan.count, plan.jobs):
                made = mutant(number, plan.models, run=plan.run)
                judgement = judge.judge(write(made, home))
                if judgement.outcome == "violation":
                    _keep(made, plan.out, home / "judge.log")
                yield Result(number, made.kind, made.seed, judgement)
        finally:
            judge.close()


def _keep(made: Mutant, out: Path, log: Path) -> None:
    folder = out / f"{made.number}-{made.kind.replace(' ', '-')}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in {"model.onnx": made.model, **made.beside}.items():
        (folder / name).write_bytes(data)
    shutil.copyfile(log, folder / "judge.log")


def fuzz(plan: Plan) -> list[Result]:
    """Judge all, and say from time to time how far it is."""
    results: list[Result] = []
    said = begun = time.monotonic()

    def work(job: int) -> None:
        nonlocal said
        for result in judged(plan, job):
            results.append(result)
            if result.judgement.outcome == "violation":
                print(f"{result.number} ({result.kind}, {result.seed}): {result.judgement.text}", flush=True)
            if time.monotonic() - said > _EVERY_S:
                said = time.monotonic()
                rate = len(results) / (said - begun)
                last = plan.start + len(results)
                print(f"{len(results)} of {plan.count}, {rate:.0f} per second, at {last}", file=sys.stderr)

    with ThreadPoolExecutor(plan.jobs) as pool:
        for done in [pool.submit(work, job) for job in range(plan.jobs)]:
            done.result()
    return results


def table(results: Sequence[Result]) -> str:
    """Count outcomes by class of mutation, as Markdown.

    Of the errors, those that ``onnx`` itself raised and those by which it would have ended the process show
    how far mutants come. The last columns are the longest time and the most memory.
    """
    columns = ("mutation", *OUTCOMES, *DEPTHS, "slowest, CPU s", "most memory, MiB")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for kind in (*KINDS, ""):
        mine = [r.judgement for r in results if kind in ("", r.kind)]
        counts = Counter(judgement.outcome for judgement in mine)
        slowest = max((judgement.seconds for judgement in mine), default=0.0)
        memory = max((judgement.peak_bytes for judgement in mine), default=0) >> 20
        depths = (str(sum(words in judgement.text for judgement in mine)) for words in DEPTHS.values())
        cells = [kind or "all", *(str(counts[o]) for o in OUTCOMES), *depths, f"{slowest:.2f}", str(memory)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Run, print the table and every violation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="another series of mutants")
    parser.add_argument("--start", type=int, default=0, help="number of the first")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("fuzz-violations"), help="where reproducers go")
    parser.add_argument(
        "--model", type=Path, action="append", default=[], help="one more model to start from"
    )
    parser.add_argument("--fix", action="store_true", help="try the passes on each, too")
    options = parser.parse_args()
    own = tuple(Seed(path.stem, path.read_bytes()) for path in options.model)
    plan = Plan(
        options.count, options.start, options.seed, options.jobs, options.out, (*seeds(), *own), options.fix
    )
    results = fuzz(plan)
    print(table(results))
    bad = [result for result in results if result.judgement.outcome == "violation"]
    for result in sorted(bad, key=lambda result: result.number):
        print(f"{result.number} ({result.kind}, {result.seed}): {result.judgement.text}")
    print(f"{len(bad)} violations in {len(results)} models")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
