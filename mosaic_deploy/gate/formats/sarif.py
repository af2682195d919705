"""SARIF 2.1.0, which code scanning reads.

A violation is a result at the line of the PyTorch model where that file is in the repository, else at the
``.onnx``, which has no lines; its node is a logical location. Waivers are suppressions, and with a base every
result says whether it is new.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from urllib.parse import quote

from mosaic_deploy._version import __version__
from mosaic_deploy.gate.formats.words import (
    NO_TABLE,
    advice,
    asked,
    heard,
    notes,
    sentence,
    severity,
    standing,
    summary,
)
from mosaic_deploy.gate.report import GateReport, ModelResult, Verified
from mosaic_deploy.gate.repository import Repository
from mosaic_deploy.gate.verdict import Item, TargetVerdict

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_OPERATORS = "https://onnx.ai/onnx/operators/"
_ROOT = "%SRCROOT%"

type Json = dict[str, object]


def render(report: GateReport, repository: Repository) -> str:
    """Render one run with all models and targets."""
    log = _Log(report, repository)
    return json.dumps(log.to_json(), allow_nan=False, indent=1)


class _Log:
    """Rules and results as they come; rules are numbered in that order."""

    def __init__(self, report: GateReport, repository: Repository) -> None:
        self.report, self.repository = report, repository
        self.rules: dict[str, Json] = {}
        self.results: list[Json] = []
        self.seen: Counter[tuple[str, ...]] = Counter()
        self.waived = any(item.waiver for _, verdict in report.verdicts() for item in verdict.items)
        for judged in report.models:
            if judged.error:
                self._plain("model/unusable", "A model file that cannot be read", judged.model, judged.error)
            for verdict in judged.verdicts:
                self._verdict(judged, verdict)
            for verified in judged.verified:
                self._heard(judged, verified)
        for note in notes(report)[: len(report.expired)]:
            self._plain("waiver/expired", "An expired waiver", report.config, note)

    def to_json(self) -> Json:
        """The whole log."""
        report = self.report
        driver: Json = {
            "name": "mosaic-deploy",
            "semanticVersion": __version__,
            "rules": list(self.rules.values()),
        }
        invocation: Json = {
            "executionSuccessful": report.exit_code != 2,
            "exitCode": report.exit_code,
            "toolExecutionNotifications": [
                {"level": "note", "message": _message(note)}
                for note in (*(f"waiver {note}" for note in notes(report)), *self._asked())
            ],
        }
        run: Json = {
            "tool": {"driver": driver},
            "automationDetails": {"id": "mosaic-deploy/check/"},
            "invocations": [invocation],
            "results": self.results,
        }
        return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}

    def _asked(self) -> list[str]:
        """What compilers were asked, a line each, and of what they cleared."""
        return [
            f"{judged.model} on {verdict.target}: {line}"
            for judged, verdict in self.report.verdicts()
            for line in asked(verdict)
        ]

    def _verdict(self, judged: ModelResult, verdict: TargetVerdict) -> None:
        if not verdict.table:
            self._plain(
                "target/no-table", "A target without an op table", judged.model, NO_TABLE, verdict.target
            )
        if verdict.too_much_fallback:
            said = summary(verdict)
            self._plain(
                "target/fallback",
                "Too much falls back to other kernels",
                judged.model,
                said,
                verdict.target,
            )
        for item in verdict.items:
            self._violation(judged, verdict, item)

    def _heard(self, judged: ModelResult, verified: Verified) -> None:
        said = "; ".join(heard(verified))
        if verified.said in ("refused", "differs"):
            self._plain(
                "target/refused", "A model that the compiler rejects", judged.model, said, verified.target
            )
        if verified.said == "no compiler":
            self._plain(
                "target/no-compiler",
                "A target whose compiler cannot run here",
                judged.model,
                said,
                verified.target,
            )

    def _violation(self, judged: ModelResult, verdict: TargetVerdict, item: Item) -> None:
        found, state = item.violation, standing(item)
        rule = f"{verdict.table}/{found.rule or 'unknown-' + found.op}"
        text = f"{found.node} ({found.op}) on {verdict.target}: {sentence(item)}" + (
            f" [{state}]" if state else ""
        )
        prints = {
            "mosaicDeployNode/v1": _hash(judged.model, verdict.target, rule, found.op, found.node),
            "primaryLocationLineHash": self._numbered(
                judged.model, verdict.target, rule, found.op, found.found
            ),
        }
        where = self._place(judged.model)
        line = self.repository.line(found.source)
        if line is not None:
            where = {"artifactLocation": _artifact(line.path), "region": {"startLine": line.number}}
        logical = {"name": found.node, "fullyQualifiedName": f"{judged.model}/{found.node}", "kind": "node"}
        self._add(
            self._rule(rule, _title(verdict, item), _description(verdict, item), _help(found.op)),
            {
                "level": severity(item),
                "message": _message(text),
                "locations": [{"physicalLocation": where, "logicalLocations": [logical]}],
                "partialFingerprints": prints,
                "properties": {
                    "level": found.level, "target": verdict.target, "recipe": verdict.recipe,
                    "deployed": item.deployed, "macsShare": found.macs_share,
                    "fixable": item.cure is not None, "basis": item.basis,
                },
            },
            item,
        )  # fmt: skip

    def _plain(self, rule: str, title: str, path: str, text: str, target: str = "") -> None:
        """Add a result about a whole file."""
        self._add(
            self._rule(rule, title, f"{title}: the check fails because of it.", _OPERATORS),
            {
                "level": "error",
                "message": _message(f"{target}: {text}" if target else text),
                "locations": [{"physicalLocation": self._place(path)}],
                "partialFingerprints": {"primaryLocationLineHash": self._numbered(path, target, rule)},
            },
            None,
        )

    def _add(self, index: int, result: Json, item: Item | None) -> None:
        whole: Json = {"ruleId": list(self.rules)[index], "ruleIndex": index, **result}
        if self.waived:  # one result with suppressions asks for them in all
            waiver = item.waiver if item else None
            reason = (
                {"kind": "external", "status": "accepted", "justification": waiver.reason} if waiver else None
            )
            whole["suppressions"] = [reason] if reason else []
        if self.report.base:
            whole["baselineState"] = "unchanged" if item is not None and item.known else "new"
        self.results.append(whole)

    def _rule(self, name: str, title: str, description: str, uri: str) -> int:
        if name not in self.rules:
            self.rules[name] = {
                "id": name,
                "shortDescription": _message(title),
                "fullDescription": _message(description),
                "helpUri": uri,
                "help": _message(description),
            }
        return list(self.rules).index(name)

    def _numbered(self, *facts: str) -> str:
        """Hash facts that several results may share, with the number of their repetition."""
        self.seen[facts] += 1
        return f"{_hash(*facts)}:{self.seen[facts]}"

    def _place(self, model: str) -> Json:
        return {"artifactLocation": _artifact(model)}


def _title(verdict: TargetVerdict, item: Item) -> str:
    words = {
        "silent-wrong": "gives wrong results",
        "unsupported": "is not supported",
        "fallback": "runs in another kernel",
        "unknown": "is untested",
    }
    return f"{item.violation.op} {words[item.violation.level]} ({verdict.table})"


def _description(verdict: TargetVerdict, item: Item) -> str:
    """The rule in general: nothing of the one node at hand."""
    found = item.violation
    allowed = f" Allowed: {found.allowed}." if found.allowed else ""
    return f"{_title(verdict, item)}, according to {verdict.tool}.{allowed} What to do: {advice(item)}."


def _help(op: str) -> str:
    """The operator's page, where ONNX has one."""
    return f"{_OPERATORS}onnx__{op}.html" if op.isascii() and op.isalnum() else _OPERATORS


def _message(text: str) -> Json:
    """Plain text; braces stand for themselves when doubled, brackets behind a backslash."""
    doubled = text.replace("\\", "\\\\").replace("{", "{{").replace("}", "}}")
    return {"text": doubled.replace("[", "\\[").replace("]", "\\]")}


def _artifact(path: str) -> Json:
    if Path(path).is_absolute():
        return {"uri": Path(path).as_uri()}
    return {"uri": quote(os.fsencode(path)), "uriBaseId": _ROOT}


def _hash(*facts: str) -> str:
    return hashlib.sha256("\0".join(facts).encode("utf-8", "replace")).hexdigest()[:32]
