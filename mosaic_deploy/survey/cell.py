"""A trial held: a network checked for a target, built and compared, through the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mosaic_deploy.errors import MosaicError, ToolError
from mosaic_deploy.survey.child import Ran, run
from mosaic_deploy.survey.figures import Figures
from mosaic_deploy.survey.subject import Subject, scene_folder
from mosaic_deploy.survey.trial import AFTER_LOSSY, CLEARED, Terms, Trial

GIANT = 100e9
"""Multiply-accumulates from which on a network gets ``LONGER`` times the time: software drivers and
simulators take seconds for a billion."""
LONGER = 10
LARGE = 1 << 20
"""Pixels of an image from which on, as above ``GIANT``, one does, and two to calibrate on."""
LABELLED = 16
"""Images, at least, that a trained network is measured on: mIoU of two would say nothing."""
ARTIFACT = "artifact"
SPARE = 1.0
"""Load above the number of cores from which on others disturb a timing; the survey's own takes the cores."""
_TOO_LONG, _TOO_MUCH = "ran longer than", "needed more than"
_LOG = re.compile(r"; log: \S+")
_LINE = 400


class Late(Exception):  # noqa: N818  # no error: a trial's end, which its record states
    """The time limit came."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A network on a target, and where it is tried."""

    subject: Subject
    target: str
    terms: Terms
    onnx: Path
    figures: Figures
    folder: Path
    """Logs and reports stay here."""
    scratch: Path
    until: float
    """On the clock of ``time.monotonic``."""

    @property
    def large(self) -> bool:
        """Whether a run takes so long that few must do."""
        contract = self.subject.contract
        return self.figures.macs >= GIANT or contract.height * contract.width >= LARGE

    def run(self, arguments: list[str], *, out: Path, log: Path) -> Ran:
        """Run a command within what is left of the time.

        Raises ``Late`` where that is not enough, ``ToolError`` where the command takes too much memory.
        """
        left = self.until - time.monotonic()
        if left <= 1:
            raise Late(arguments[0])
        try:
            return run(arguments, out=out, log=log, cwd=self.scratch / "work", timeout_s=left)
        except ToolError as err:
            if _TOO_LONG in str(err):
                raise Late(arguments[0]) from err
            raise


def limit_of(terms: Terms, cost: Figures) -> float:
    """Seconds that a trial may take."""
    return terms.limit_s * (LONGER if cost.macs >= GIANT else 1)


def hold(subject: Subject, target: str, terms: Terms, cost: Figures, *, key: str, folder: Path) -> Trial:
    """Check a network for a target, and build it unless it is refused; logs stay in ``folder``.

    What was built stays in ``folder`` / ``ARTIFACT``, to be timed once nothing else runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    limit = limit_of(terms, cost)
    found: dict[str, Any] = {"network": subject.name, "target": target, "key": key, "verdict": "error"}
    found |= {"parameters": cost.parameters, "macs": cost.macs, "degenerate": cost.degenerate}
    found |= {"untrained": subject.untrained, "limit_s": limit}
    with TemporaryDirectory(prefix="mosaic-survey-") as name:
        onnx, until = subject.make(), time.monotonic() + limit
        cell = Cell(subject, target, terms, onnx, cost, folder, Path(name), until)
        try:
            _check(cell, found)
            if not terms.check_only and found["verdict"] != "unsupported":
                _build(cell, found, fix="lossy" if found["verdict"] == AFTER_LOSSY else "exact")
                if found["built"] is False:
                    _narrow(cell, found)
        except Late as late:
            found["late"] = str(late)
            found["error"] = f"time limit of {limit:g} s, in {late}"
        except MosaicError as err:
            found["error"] = line(str(err))
    return Trial(**found)


def _check(cell: Cell, found: dict[str, Any]) -> None:
    """What check says, before and after compilers are asked, and what that costs."""
    plain, verdict = _checked(cell, "check", ["--unknown", "warn"] if cell.terms.asks else [])
    found["check_cpu_s"] = plain.cpu_s
    if verdict is None:
        found["error"] = line(plain.said) or f"check ended with status {plain.code}"
        return
    found |= {"unknown": verdict["unknown"], **_read_verdict(verdict)}
    if not cell.terms.asks:
        return
    if not verdict["unknown"] and found["verdict"] in CLEARED:
        found |= {"unknown_asked": 0, "ask_s": 0.0}  # nothing to ask, nothing refused to save
        return
    options = ["--unknown", "ask", "--budget", f"{cell.terms.budget_s:g}"]
    asked, verdict = _checked(cell, "asked", [*options, "--save", str(cell.folder / "reproducers")])
    found["ask_s"] = asked.seconds
    if verdict is None:
        found["error"] = line(asked.said) or f"check ended with status {asked.code}"
    else:
        found |= {"unknown_asked": verdict["unknown"], **_read_verdict(verdict)}


def _checked(cell: Cell, name: str, options: list[str]) -> tuple[Ran, dict[str, Any] | None]:
    report = cell.folder / f"{name}.json"
    report.unlink(missing_ok=True)
    command = ["check", str(cell.onnx), "--target", cell.target, "--format", "json", "--out", str(report)]
    done = cell.run([*command, *options], out=cell.scratch / "out", log=report.with_suffix(".log"))
    models = _read(report).get("models") or []
    verdicts = models[0].get("verdicts") if models else None
    return done, verdicts[0] if verdicts else None


def _read_verdict(verdict: Mapping[str, Any]) -> dict[str, Any]:
    failing = [
        violation
        for violation in verdict["violations"]
        if violation.get("fails", True) and violation["level"] not in ("unknown", "fallback")
    ]
    counts: dict[str, int] = {}
    for violation in failing:
        why = violation.get("error") or violation.get("found") or violation["rule"]
        words = f"{violation['op']}: {why}"
        counts[words] = counts.get(words, 0) + 1
    refused = [f"{words} (x{count})" for words, count in sorted(counts.items(), key=lambda item: -item[1])]
    fixes = {name for violation in verdict["violations"] for name in _passes(violation)}
    saved = {str(v["reproducer"]) for v in verdict["violations"] if v.get("reproducer")}
    headline = str(verdict["verdict"])
    if headline == "supported" and verdict.get("nodes") and verdict["unknown"] and not verdict["passed"]:
        headline = "undecided"
    if headline == "unsupported" and failing and all(_passes(violation) for violation in failing):
        headline = AFTER_LOSSY
    return {
        "verdict": headline,
        "nodes": verdict.get("nodes"),
        "refused": tuple(line(text) for text in refused[:5]),
        "reproducers": tuple(sorted(Path(path).name for path in saved)),
        "fixes": tuple(sorted(fixes)),
    }


def _passes(violation: Mapping[str, Any]) -> list[str]:
    cure = violation.get("cure")
    return list(cure.get("passes", ())) if isinstance(cure, dict) else []


def _build(cell: Cell, found: dict[str, Any], *, fix: str) -> None:
    """Build with the passes that ``--fix`` allows, and read what the report says of it."""
    place, report = cell.scratch / "built", cell.folder / "build.json"
    report.unlink(missing_ok=True)
    done = cell.run([*_build_words(cell, place), "--fix", fix], out=report, log=cell.folder / "build.log")
    record = _read(report)
    builds = record.get("builds") or []
    found |= {"build_s": done.seconds, "build_cpu_s": done.cpu_s, "built": False}
    if not builds:
        failures = record.get("failures") or []
        error = failures[0]["error"] if failures else done.said
        found["error"] = line(error) or f"build ended with status {done.code}"
        return
    found |= _read_build(builds[0], done, labelled=cell.subject.labelled)
    kept = cell.folder / ARTIFACT
    shutil.rmtree(kept, ignore_errors=True)
    if found["built"]:
        shutil.move(builds[0]["folder"], kept)


def _build_words(cell: Cell, place: Path) -> list[str]:
    subject, terms = cell.subject, cell.terms
    images, calibration = (1, 2) if cell.large else (terms.images, terms.calibration)
    scenes = f"folder:{scene_folder(images, calibration)}"
    words = ["build", subject.card or str(cell.onnx), "--target", cell.target, "--out", str(place), "--json"]
    shown = max(images, LABELLED) if subject.labelled else images
    words += ["--data", subject.data or scenes, "--images", str(shown), *subject.options]
    words += [] if subject.labelled else ["--calibration", scenes]
    return [*words, "--arch", terms.archs] if "arch" in _flags(cell.target) else words


def _flags(target: str) -> frozenset[str]:
    """The options that a target's backend takes on the command line."""
    from mosaic_deploy.backends.registry import load_backend
    from mosaic_deploy.specs.registry import load_spec
    from mosaic_deploy.specs.target import TargetSpec

    return frozenset(load_backend(load_spec(TargetSpec, target).backend).flags)


def _read_build(build: Mapping[str, Any], done: Ran, *, labelled: bool) -> dict[str, Any]:
    facts, conversion, parity = build["facts"], build["conversion"], build["parity"]
    fallback = facts.get("fallback") or {}
    ran = {name: float(run["agreement"]) for name, run in (build.get("variants") or {}).items()}
    found: dict[str, Any] = {
        "built": parity is not None,
        "agreement": None if parity is None else ran.get("gpu", parity["agreement"]),
        "conversion": None if conversion is None else _kept(conversion),
        "emulated": ran.get("float16"),
        "precision": str(facts.get("precision", "")),
        "fallback_macs": fallback.get("macs_share"),
        "fallback_time": fallback.get("time_share"),
        "size_bytes": sum(entry["bytes"] for entry in build["artifacts"] if entry["ships"]) or None,
        "error": "" if parity is not None else line(f"{build['verdict']}: {done.said}"),
    }
    judged = parity or conversion
    if judged is not None:
        found["data"] = f"{judged['images']} of {judged['dataset']}"
    if parity is not None and parity["metric"] == "miou" and labelled:
        found |= {"reference_miou": parity["reference"], "device_miou": parity["candidate"]}
    if judged is not None and _one_class(judged):
        found["degenerate"] = "constant"
    if applied := build.get("fixes"):
        found["fixes"] = tuple(step["name"] for step in applied)
    return found


def _kept(conversion: Mapping[str, Any]) -> float:
    """Share of the pixels that the conversion alone kept, not what lossy fixes did before it."""
    fixed = conversion.get("agreement_with_fixed")
    return float(conversion["agreement"] if fixed is None else fixed)


def _one_class(parity: Mapping[str, Any]) -> bool:
    """Whether the float network gave one class everywhere on these very images."""
    largest = parity.get("largest")
    return bool(parity.get("undecided")) and largest is not None and largest["share"] > 1 - 1e-3


def _narrow(cell: Cell, found: dict[str, Any]) -> None:
    """Where a build of what was cleared failed, let the compiler show the smallest part that it refuses.

    What needs too much time or memory is no part of the network.
    """
    if found["verdict"] == "error" or any(limit in found["error"] for limit in (_TOO_LONG, _TOO_MUCH)):
        return
    report = cell.folder / "verify.json"
    report.unlink(missing_ok=True)
    command = ["check", str(cell.onnx), "--target", cell.target, "--format", "json", "--out", str(report)]
    command += ["--verify", "--save", str(cell.folder / "reproducers")]
    try:
        cell.run(command, out=cell.scratch / "out", log=report.with_suffix(".log"))
    except (Late, ToolError):
        return  # the build's own words stand
    models = _read(report).get("models") or [{}]
    culprits = [part for said in models[0].get("verified") or [] for part in said["culprits"]]
    if culprits:
        found["reproducers"] = tuple(sorted({Path(part["file"]).name for part in culprits}))
        found["error"] = line(f"{', '.join(culprits[0]['ops'])}: {culprits[0]['error']}")


def clock(trials: Sequence[Trial], folders: Sequence[Path]) -> list[Trial]:
    """Time what trials of one network built, beside its float network, which is timed once for all of them.

    ``folders`` are the trials'. Where they cannot be timed together, each is timed by itself; one that cannot
    be timed stays as it is, and says so.
    """
    try:
        record = _timed(trials[0], folders)
    except ToolError as err:
        if len(trials) > 1:
            return [clock([trial], [folder])[0] for trial, folder in zip(trials, folders, strict=True)]
        words = "too slow to be timed" if _TOO_LONG in str(err) else f"not timed: {line(str(err))}"
        return [replace(trials[0], error=trials[0].error or words)]
    floats = {entry["name"]: entry["median_ms"] for entry in record.get("floats") or []}
    busy = record["load"] > record["cores"] + SPARE
    return [
        trial
        if row["simulator"]
        else replace(trial, time_ms=row["median_ms"], float_ms=floats.get(row["float"]), busy=busy)
        for trial, row in zip(trials, record["artifacts"], strict=True)
    ]


def _timed(of: Trial, folders: Sequence[Path]) -> dict[str, Any]:
    """What ``bench`` reports of the artifacts in ``folders``, in their order.

    Raises ``ToolError`` where it fails or takes too long.
    """
    runs = ["--runs", "2" if (of.macs or 0) >= GIANT else "20", "--rounds", "2"]
    report = folders[0] / "bench.json"
    report.unlink(missing_ok=True)
    with TemporaryDirectory(prefix="mosaic-survey-") as name:
        done = run(
            ["bench", *(str(folder / ARTIFACT) for folder in folders), *runs, "--json"],
            out=report,
            log=folders[0] / "bench.log",
            cwd=Path(name) / "work",
            timeout_s=(of.limit_s or 300) * len(folders),
        )
    record = _read(report)
    if len(record.get("artifacts") or []) != len(folders):
        raise ToolError(done.said or f"bench ended with status {done.code}")
    return record


def discard(folder: Path) -> None:
    """Remove what a trial built."""
    shutil.rmtree(folder / ARTIFACT, ignore_errors=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def line(text: str) -> str:
    """A tool's words in one line, without the user's home folder and the place of a log on this machine."""
    home = os.path.expanduser("~")  # noqa: PTH111  # a text, not a path
    said = " ".join(text.replace(home, "~").split()).removeprefix("mosaic-deploy: ")
    return _LOG.sub("", said)[:_LINE]
