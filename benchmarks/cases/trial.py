"""A case on every target: what ``check`` says, and what ``build`` makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cases.listing import Case

_CLEARED = ("supported", "supported after fixes")
_TIMEOUT_S = 900
_TOLERANCE = "0.05"
"""Of the share of pixels that may differ: most cases are untrained, and this is about forms, not accuracy."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case on one target."""

    case: Case
    target: str
    check: str
    """The verdict's kind, or ``error``."""
    build: str
    """``built``, ``refused``, ``undecided`` or ``failed``."""
    agreement: float | None
    note: str

    @property
    def wrong(self) -> str:
        """Why this is not as expected; empty where it is."""
        expected = self.case.expected(self.target)
        if self.build != expected:
            return f"{self.build} where {expected} is expected"
        if self.case.says and self.case.says not in self.note:
            return f"its line does not say '{self.case.says}'"
        if self.build == "refused" and not self.case.says and self.check in _CLEARED:
            return "check clears it"
        return ""


def try_case(case: Case, targets: Sequence[str], out: Path) -> list[Outcome]:
    """Check and build a case; errors of single targets are outcomes."""
    checked = _check(case, targets)
    argv = [
        "build", str(case.path), "--target", ",".join(targets), "--data", case.data, *case.options,
        "--tolerance", _TOLERANCE, "--out", str(out / case.name), "--force", "--json",
    ]  # fmt: skip
    if "dsp" in targets:
        argv += ["--arch", "75"]
    code, text, errors = _run(argv)
    report = _json(text)
    if report is None:
        word = "refused" if code in (1, 2) else "failed"
        line = errors.strip().splitlines()[-1] if errors.strip() else f"exit code {code}"
        return [Outcome(case, target, checked[target], word, None, line) for target in targets]
    return [_outcome(case, target, checked[target], report) for target in targets]


def _outcome(case: Case, target: str, check: str, report: dict[str, Any]) -> Outcome:
    for failure in report["failures"]:
        if failure["target"] == target:
            word = "refused" if failure["exit_code"] in (1, 2) else "failed"
            return Outcome(case, target, check, word, None, failure["error"])
    build = next(entry for entry in report["builds"] if entry["target"] == target)
    parity = build["parity"] or {}
    words = {"ops refused": "refused", "undecided": "undecided"}
    word = "built" if build["passed"] else words.get(build["verdict"], "failed")
    note = build["undecided"] or ("" if build["passed"] else build["verdict"])
    return Outcome(case, target, check, word, parity.get("agreement"), note)


def _check(case: Case, targets: Sequence[str]) -> dict[str, str]:
    argv = ["check", str(case.path), "--target", ",".join(targets), "--format", "json", *case.reading]
    _, text, _ = _run(argv)
    report = _json(text) or {"models": []}
    found = dict.fromkeys(targets, "error")
    for model in report["models"]:
        for verdict in model.get("verdicts", model.get("targets", [])):
            found[verdict["target"]] = verdict.get("kind", verdict.get("verdict", ""))
    return found


def _run(argv: Sequence[str]) -> tuple[int, str, str]:
    command = [sys.executable, "-P", "-m", "mosaic_deploy", *argv]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return 3, "", f"took longer than {_TIMEOUT_S} s"
    return done.returncode, done.stdout, done.stderr


def _json(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
