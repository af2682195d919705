"""One network on one target, through the command line as a person uses it: checked, built, compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.field.child import Ran, run
from mosaic_deploy.errors import ToolError

CONVERSION = 0.9999
"""A float conversion that keeps the class of fewer pixels changed the network."""
FLOAT16 = 0.01
"""How far the accelerator's agreement may lie below that of emulated float16, which costs what it costs."""
LOSS = 0.1
"""How far int8 agreement may lie below that of ONNX Runtime's QDQ of the same network."""
CLEARED = ("supported", "supported after fixes")
_INPUT = ("--input-mean", "127.5", "--input-scale", "64")


@dataclass(frozen=True, slots=True)
class Terms:
    """How trials are held."""

    images: int
    calibration: str
    """``NAME:DIR`` of the images that ranges are calibrated on."""
    archs: str
    """Hexagon architectures that the target dsp is built for."""
    budget_s: float
    """Seconds that asking a compiler may take."""
    timeout_s: float
    """Seconds after which a command is ended."""
    check_only: bool
    asks: bool
    """Whether the ``check`` at hand can ask compilers."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a network on a target; None stands for what was not measured."""

    network: str
    target: str
    key: str
    """Digest of all that it depends on."""
    verdict: str
    """Check's headline: ``supported``, ``supported after fixes``, ``unsupported`` or ``undecided``; ``error``
    where there is none."""
    nodes: int | None = None
    unknown: int | None = None
    """Nodes that the tables know nothing of."""
    unknown_asked: int | None = None
    """Those left after the compiler was asked."""
    check_cpu_s: float | None = None
    ask_s: float | None = None
    refused: tuple[str, ...] = ()
    """``OPERATOR xN: words``, the commonest first."""
    fixes: tuple[str, ...] = ()
    built: bool | None = None
    """Whether there is a network that ran; whether it is right is said by the figures below."""
    conversion: float | None = None
    """Share of the pixels that keep their class in the runtime's own format, in float."""
    agreement: float | None = None
    """Share of the pixels on which what was built gives the float network's class."""
    emulated: float | None = None
    """The same of float16 emulated on the CPU, where the backend has such a run."""
    precision: str = ""
    fallback_macs: float | None = None
    fallback_time: float | None = None
    build_s: float | None = None
    build_cpu_s: float | None = None
    error: str = ""

    @property
    def cleared(self) -> bool:
        """Whether check let it pass."""
        return self.verdict in CLEARED

    def wrong(self, peer: float | None) -> str:
        """Say what is wrong with the numbers of what was built, or ''.

        ``peer`` is the agreement of ONNX Runtime's QDQ of the same network, None where it is not known.
        """
        if not self.built:
            return ""
        if self.conversion is not None and self.conversion < CONVERSION:
            return f"conversion keeps {self.conversion:.2%}"
        if self.agreement is None:
            return "no agreement was measured"
        if "16" in self.precision and "8" not in self.precision:
            close = self.emulated is None or self.agreement >= self.emulated - FLOAT16
            return "" if close else f"agreement {self.agreement:.2%}, emulated float16 {self.emulated:.2%}"
        if peer is not None and self.agreement < peer - LOSS:
            return f"agreement {self.agreement:.2%}, ONNX Runtime's QDQ {peer:.2%}"
        return ""

    def to_json(self) -> dict[str, Any]:
        """The record as it is kept."""
        return asdict(self)


def from_json(record: Mapping[str, Any]) -> Trial:
    """Read a kept record; raises ``TypeError`` for one of another version of this file."""
    values = dict(record)
    for name in ("refused", "fixes"):
        values[name] = tuple(values.get(name, ()))
    return Trial(**values)


def hold(onnx: Path, target: str, terms: Terms, *, key: str, folder: Path) -> Trial:
    """Check a network for a target, and build it unless it is refused; logs stay in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="mosaic-field-") as name:
        scratch = Path(name)
        found: dict[str, Any] = {"network": onnx.stem, "target": target, "key": key, "verdict": "error"}
        try:
            found |= _checked(onnx, target, terms, folder, scratch)
            if not terms.check_only and found["verdict"] != "unsupported":
                found |= _built(onnx, target, terms, folder, scratch)
        except ToolError as err:
            found["error"] = _line(str(err))
    return Trial(**found)


def _checked(onnx: Path, target: str, terms: Terms, folder: Path, scratch: Path) -> dict[str, Any]:
    plain, verdict = _check(onnx, target, terms, folder, scratch, ["--unknown", "warn"] if terms.asks else [])
    if verdict is None:
        return {
            "error": _line(plain.said) or f"check ended with status {plain.code}",
            "check_cpu_s": plain.cpu_s,
        }
    found = {"check_cpu_s": plain.cpu_s, "unknown": verdict["unknown"], **_read_verdict(verdict)}
    if not terms.asks:
        return found
    options = ["--unknown", "ask", "--budget", f"{terms.budget_s:g}"]
    asked, verdict = _check(onnx, target, terms, folder, scratch, options)
    found["ask_s"] = asked.seconds
    if verdict is None:
        return {**found, "error": _line(asked.said) or f"check ended with status {asked.code}"}
    return {**found, **_read_verdict(verdict), "unknown_asked": verdict["unknown"]}


def _check(
    onnx: Path, target: str, terms: Terms, folder: Path, scratch: Path, options: list[str]
) -> tuple[Ran, dict[str, Any] | None]:
    report = folder / ("asked.json" if "ask" in options else "check.json")
    report.unlink(missing_ok=True)
    command = ["check", str(onnx), "--target", target, "--format", "json", "--output", str(report), *options]
    done = run(
        command,
        out=scratch / "out",
        log=report.with_suffix(".log"),
        cwd=scratch / "work",
        timeout_s=terms.timeout_s,
    )
    record = _read(report)
    models = record.get("models") or []
    verdicts = models[0].get("verdicts") if models else None
    return done, verdicts[0] if verdicts else None


def _read_verdict(verdict: Mapping[str, Any]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for violation in verdict["violations"]:
        if violation.get("fails", True) and violation["level"] not in ("unknown", "fallback"):
            words = (
                f"{violation['op']}: {violation.get('error') or violation.get('found') or violation['rule']}"
            )
            counts[words] = counts.get(words, 0) + 1
    refused = [f"{words} (x{count})" for words, count in sorted(counts.items(), key=lambda item: -item[1])]
    fixes = {name for violation in verdict["violations"] for name in _passes(violation)}
    headline = str(verdict["verdict"])
    if headline == "supported" and verdict.get("nodes") and verdict["unknown"] and not verdict["passed"]:
        headline = "undecided"
    return {
        "verdict": headline,
        "nodes": verdict.get("nodes"),
        "refused": tuple(_line(text) for text in refused[:5]),
        "fixes": tuple(sorted(fixes)),
    }


def _passes(violation: Mapping[str, Any]) -> list[str]:
    cure = violation.get("cure")
    return list(cure.get("passes", ())) if isinstance(cure, dict) else []


def _built(onnx: Path, target: str, terms: Terms, folder: Path, scratch: Path) -> dict[str, Any]:
    place, report = scratch / "artifact", folder / "build.json"
    report.unlink(missing_ok=True)
    command = ["build", str(onnx), "--target", target, "--data", "streets", "--images", str(terms.images)]
    command += ["--calibration", terms.calibration, *_INPUT, "--out", str(place), "--json"]
    command += ["--arch", terms.archs] if target == "dsp" else []
    done = run(command, out=report, log=folder / "build.log", cwd=scratch / "work", timeout_s=terms.timeout_s)
    record = _read(report)
    builds = record.get("builds") or []
    found: dict[str, Any] = {"build_s": done.seconds, "build_cpu_s": done.cpu_s}
    if not builds:
        failures = record.get("failures") or []
        error = failures[0]["error"] if failures else done.said
        return {**found, "built": False, "error": _line(error) or f"build ended with status {done.code}"}
    return {**found, **_read_build(builds[0], done)}


def _read_build(build: Mapping[str, Any], done: Ran) -> dict[str, Any]:
    facts, conversion, parity = build["facts"], build["conversion"], build["parity"]
    fallback = facts.get("fallback") or {}
    ran = {name: float(run["agreement"]) for name, run in (build.get("variants") or {}).items()}
    found: dict[str, Any] = {
        "built": parity is not None,
        "agreement": None if parity is None else ran.get("gpu", parity["agreement"]),
        "conversion": None if conversion is None else conversion["agreement"],
        "emulated": ran.get("float16"),
        "precision": str(facts.get("precision", "")),
        "fallback_macs": fallback.get("macs_share"),
        "fallback_time": fallback.get("time_share"),
        "error": "" if parity is not None else _line(f"{build['verdict']}: {done.said}"),
    }
    applied = build.get("fixes")
    if applied:
        found["fixes"] = tuple(step["name"] if isinstance(step, dict) else str(step) for step in applied)
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _line(text: str) -> str:
    return " ".join(text.split())[:400]
