"""Write ``docs/reference/python-api.md`` from the package: ``uv run python docs/generate_api.py``.

A test compares the page with what this program makes. Another fails on a class that the public API shows and
that is neither exported nor a part (``PARTS``) nor opaque (``OPAQUE``).
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from pydantic import BaseModel

import mosaic_deploy

PAGE = Path(__file__).parent / "reference" / "python-api.md"
PACKAGE = "mosaic_deploy"

PARTS = (
    "accuracy.limits.Limits",
    "accuracy.early_stop.EarlyStop",
    "artifact.bench.latency.Latencies",
    "artifact.bench.latency.Ratio",
    "artifact.bench.report.Machine",
    "artifact.bench.report.Row",
    "artifact.bench.report.Timed",
    "artifact.contract_fuzz.fuzz.Cost",
    "artifact.contract_fuzz.mistakes.Mistake",
    "artifact.manifest.Entry",
    "backends.protocol.Step",
    "build.diff.bound.Distance",
    "build.diff.found.Alone",
    "build.diff.found.Probe",
    "build.report.Conversion",
    "build.report.Losses",
    "build.sensitivity.Lift",
    "build.sensitivity.TensorLoss",
    "build.stages.Stage",
    "datasets.samples.Item",
    "gate.config.Waiver",
    "gate.fix_report.FixStep",
    "gate.verdict.Cleared",
    "gate.verdict.Cure",
    "gate.verdict.Inquiry",
    "gate.verdict.Item",
    "graph.reader.read.Reading",
    "specs.model_card.Published",
    "specs.model_card.Source",
    "specs.model_card.Training",
    "specs.ranges.ClassShare",
    "specs.ranges.TensorRange",
    "specs.recipe.Calibration",
    "specs.recipe.IntegerFormat",
    "specs.recipe.Search",
)
"""Classes that come inside a public value; one reads their fields, and never has to name or make one."""

OPAQUE = ("backends.protocol.Backend", "backends.protocol.CompiledModel")
"""Classes that a public value holds for the project's own use; nothing about them is promised."""

_GROUPS = (
    ("Functions", lambda o: inspect.isfunction(o)),
    ("Errors", lambda o: isinstance(o, type) and issubclass(o, Exception)),
    ("Facts from TOML", lambda o: isinstance(o, type) and issubclass(o, BaseModel)),
    ("Requests and results", lambda _: True),
)
_HEAD = """\
<!-- Written by docs/generate_api.py: run it again after a change of the public API. -->

# Python API

Import every name from `mosaic_deploy`; nothing else is public. Importing the package is cheap: a name is
loaded when it is first used. Every error is a `MosaicError`, one line that says what went wrong, where, and
what to do next.

```python
from pathlib import Path

from mosaic_deploy import TargetSpec, check, fix, spec_names

path = Path("model.onnx")
for target in spec_names(TargetSpec):
    verdict = check(path, target=target)
    print(target, verdict.kind, [str(item.violation) for item in verdict.items if item.fails])

fixed, report = fix(path, target="dsp")
print(report.passed, [step.summary for step in report.steps])
```
"""


def public() -> dict[str, object]:
    """Every public name and what it stands for."""
    return {name: getattr(mosaic_deploy, name) for name in mosaic_deploy.__all__}


def home(kind: type) -> str:
    """Where a class of the package is defined, from the package's top."""
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix(f"{PACKAGE}.")


def shown(values: Sequence[object]) -> dict[type, str]:
    """The package's classes that these show: in parameters, results, fields and properties, and their parts'.

    Each with the first place that shows it, ``TargetVerdict.items`` say. What is opaque is not looked into.
    """
    found: dict[type, str] = {}
    waiting = [(kind, kind.__name__) for kind in values if isinstance(kind, type)]
    for function in values:
        if inspect.isfunction(function):
            waiting += [(kind, f"{function.__name__}()") for kind in _hinted(function)]
    while waiting:
        kind, place = waiting.pop(0)
        if kind in found or not kind.__module__.startswith(PACKAGE):
            continue
        found[kind] = place
        if home(kind) not in OPAQUE:
            waiting += [(part, f"{kind.__name__}.{name}") for name, part in _members(kind)]
    return found


def hidden(values: Sequence[object]) -> list[str]:
    """Classes that these show and that are neither among them, nor parts, nor opaque."""
    known = {*PARTS, *OPAQUE}
    return sorted(home(kind) for kind in shown(values) if kind not in values and home(kind) not in known)


def _members(kind: type) -> Iterator[tuple[str, type]]:
    """Fields and public methods of a class, with the classes that they show."""
    if dataclasses.is_dataclass(kind) or issubclass(kind, BaseModel):
        for name in kind.__annotations__:
            if not name.startswith("_"):
                yield from ((name, part) for part in _classes(_hints(kind)[name]))
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function):
            yield from ((name, part) for part in _hinted(function))


def _hinted(function: object) -> Iterator[type]:
    for hint in _hints(function).values():
        yield from _classes(hint)


def _hints(thing: object) -> dict[str, object]:
    parameters = {p.__name__: p for p in getattr(thing, "__type_params__", ())}
    return typing.get_type_hints(thing, localns={"onnx": onnx, **parameters})


def _classes(hint: object) -> Iterator[type]:
    if isinstance(hint, type) and not typing.get_args(hint):
        yield hint
    for part in typing.get_args(hint):
        yield from _classes(part)


def render() -> str:
    """The page as Markdown."""
    left = public()
    parts = [_HEAD]
    for title, belongs in _GROUPS:
        rows = {name: value for name, value in left.items() if belongs(value)}
        left = {name: value for name, value in left.items() if name not in rows}
        parts.append(f"\n## {title}\n\n| name | what it is |\n|---|---|\n")
        parts += [
            f"| {_signature(name, value)} | {_summary(name, value)} |\n" for name, value in rows.items()
        ]
    parts.append(
        "\n## Parts\n\nThese come inside the values above. Read their fields; nobody has to make one.\n\n"
        "| class | first seen in | what it is |\n|---|---|---|\n"
    )
    places = shown([*public().values()])
    for kind in sorted(places, key=lambda kind: PARTS.index(home(kind)) if home(kind) in PARTS else -1):
        if home(kind) in PARTS:
            parts.append(f"| `{kind.__name__}` | `{places[kind]}` | {_first_line(kind)} |\n")
    sealed = " and ".join(f"`{name.rpartition('.')[2]}`" for name in OPAQUE)
    parts.append(f"\n{sealed} are opaque: an `Artifact` holds them for the project's own use.\n")
    return "".join(parts)


def _signature(name: str, value: object) -> str:
    if not inspect.isfunction(value):
        return f"`{name}`"
    words, star = [], False
    for parameter in inspect.signature(value).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            words.append("*")
            star = True
        default = getattr(parameter.default, "__name__", repr(parameter.default))
        words.append(
            parameter.name if parameter.default is parameter.empty else f"{parameter.name}={default}"
        )
    return f"`{name}({', '.join(words)})`"


def _summary(name: str, value: object) -> str:
    if name == "StageProgress":
        return (
            "What shows progress: a function of a stage's name, the fraction done in [0, 1], and a few words."
        )
    return _first_line(value)


def _first_line(value: object) -> str:
    text = inspect.getdoc(value) or ""
    line = " ".join(text.partition("\n\n")[0].split())
    return re.sub(r"``(.*?)``", r"`\1`", line).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
