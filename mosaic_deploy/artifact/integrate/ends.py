"""The parts of the code that depend on the contract and on how a file's ends are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from mosaic_deploy.artifact.integrate.numbers import feeding, reading
from mosaic_deploy.errors import ModelError
from mosaic_deploy.specs.contract import Contract

_TEMPLATES = Path(__file__).parent / "templates"
_IDS = "the id of the class of each pixel"
_SUFFIX = {"python": ".py.txt", "cpp": ".cpp.txt", "kotlin": ".kt.txt"}
_POSITIONS = {
    "half_pixel": "(i + 0.5) * ({length} / {wanted}) - 0.5",
    "asymmetric": "i * ({length} / {wanted})",
    "align_corners": "i * (({length} - 1) / {most})",
}
"""Where sample ``i`` lies; ``length`` is a floating-point number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An output as rows, columns and channels."""

    rows: int
    columns: int
    channels: int
    """1 for class ids."""
    first: bool
    """Whether the channels come before the rows."""
    ids: bool
    meaning: str


def view(contract: Contract, result: Mapping[str, Any]) -> View:
    """Say how a file's output lies; raises ``ModelError`` where it is not what the contract states."""
    shape = tuple(int(side) for side in result["shape"])
    if contract.output in ("classmap", "lowmap", "vim"):
        sides = tuple(side for side in shape if side != 1)
        rows, columns = sides if len(sides) == 2 else shape[-2:]
        return View(rows=rows, columns=columns, channels=1, first=True, ids=True, meaning=_IDS)
    orders = {True: (1, 2, 3), False: (3, 1, 2)}
    for first in (True, False) if contract.layout == "NCHW" else (False, True):
        if len(shape) != 4:
            break
        channels, rows, columns = (shape[axis] for axis in orders[first])
        if channels == contract.channels and rows <= contract.height and columns <= contract.width:
            where = "classes, rows, columns" if first else "rows, columns, classes"
            meaning = f"scores: {where}" if contract.threshold is None else "one score per pixel"
            return View(
                rows=rows, columns=columns, channels=channels, first=first, ids=False, meaning=meaning
            )
    raise ModelError(f"the output has shape {shape}, which is not what its contract states")


def decide(contract: Contract, found: View) -> str:
    """Say in words how a pixel gets its class."""
    whole = (found.rows, found.columns) == (contract.height, contract.width)
    if found.ids:
        return "its id" if whole else "the id of the nearest"
    best = (
        f"1 ({contract.classes[1]}) where the score is above {contract.threshold:g}, else 0"
        if contract.threshold is not None
        else "the best score; the lowest id of equal ones"
    )
    if whole:
        return best
    if contract.sampling == "nearest":
        return f"{best}, taken from the nearest"
    return f"scores resized bilinearly first ({contract.sampling.replace('_', ' ')}), then {best}"


def size(dtype: str) -> int:
    """Bytes of a number."""
    return int(np.dtype(dtype).itemsize)


def parts(language: str, contract: Contract, tensors: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What the templates of one language ask for, of both ends."""
    source, result = tensors["input"], tensors["output"]
    found, fed = view(contract, result), feeding(contract, source)
    swapped = contract.colour == "BGR"
    first = contract.layout == "NCHW"
    words = {
        "python_constants": _constants(fed.constants, "{} = np.array([{}], np.float32)\n", "{}"),
        "cpp_constants": _constants(fed.constants, "constexpr float {}[] = {{{}}};\n", "{}f"),
        "kotlin_constants": _constants(fed.constants, "val {} = floatArrayOf({})\n", "{}f"),
        "python_colours": "[..., ::-1]" if swapped else "",
        "cpp_colour": "(2 - c)" if swapped else "c",
        "kotlin_colour": "(2 - c)" if swapped else "c",
        "python_number": fed.python,
        "cpp_number": fed.cpp,
        "kotlin_put": fed.kotlin,
        "python_layout": ".transpose(2, 0, 1)" if first else "",
        "place": "c * HEIGHT * WIDTH + i" if first else "3 * i + c",
        "kotlin_place": "c * HEIGHT * WIDTH + pixel" if first else "3 * pixel + c",
        **_decisions(contract, found, result),
    }
    for name in ("python", "cpp", "kotlin"):
        words[f"{name}_best"] = ""
    kind = "scores"
    if found.ids or contract.sampling == "nearest":
        kind = "ids"
        if not found.ids and language != "python":
            best = _TEMPLATES / f"best{_SUFFIX[language]}"
            words[f"{language}_best"] = Template(best.read_text(encoding="utf-8")).substitute(words)
    text = (_TEMPLATES / f"{kind}{_SUFFIX[language]}").read_text(encoding="utf-8")
    words[f"{language}_classes"] = Template(text).substitute(words).strip()
    return words


def _decisions(contract: Contract, found: View, result: Mapping[str, Any]) -> dict[str, str]:
    order = "channel * ROWS * COLUMNS + row * COLUMNS + column"
    if not found.first:
        order = "(row * COLUMNS + column) * CHANNELS + channel"
    limit = contract.threshold
    read = reading(result)
    plain = "i" if found.ids else "0"
    best = "ids[i] = c, best = value;"
    choice = f"scores[0] > np.float32({limit!r})" if limit is not None else "scores.argmax(axis=0)"
    python = _python_floats(result)
    channels = "" if found.first else ".transpose(2, 0, 1)"
    lookup = "y[row * COLUMNS + column]"
    number = read["kotlin"].removesuffix(".toFloat()") if result["scale"] is None else read["kotlin"]
    if number == read["kotlin"]:  # a float's, which has no conversion to a byte
        number = f"{number}.toInt()"
    return {
        "at": order,
        "read_cpp": read["cpp"],
        "read_kotlin": read["kotlin"],
        "position_python": _position(contract, "length", "wanted"),
        "position_cpp": _position(contract, "double(length)", "wanted"),
        "position_kotlin": _position(contract, "length.toDouble()", "wanted", "maxOf"),
        "dequantised": python,
        "python_channels": channels,
        "python_decision": f"({choice})" if limit is not None else choice,
        "python_ids": f"y.reshape({found.rows}, {found.columns})"
        if found.ids
        else f"{_at_once(python, channels, choice)}",
        "cpp_begin": "        float best = -INFINITY;\n" if limit is None else "",
        "kotlin_begin": "    var best = Float.NEGATIVE_INFINITY\n" if limit is None else "",
        "cpp_decision": f"if (value > best) {best}" if limit is None else f"ids[i] = value > {limit!r}f;",
        "kotlin_decision": "if (value > best) { best = value; id = c }"
        if limit is None
        else f"id = if (value > {limit!r}f) 1 else 0",
        "cpp_id": f"uint8_t({lookup})" if found.ids else "best(y, row, column)",
        "kotlin_id": f"{{ val i = row * COLUMNS + column; ({number}).toByte() }}()"
        if found.ids
        else "best(y, row, column)",
        "cpp_found": "uint8_t(found)" if limit is None else f"score(y, row, column, {plain}) > {limit!r}f",
        "kotlin_found": "found"
        if limit is None
        else f"if (score(y, row, column, {plain}) > {limit!r}f) 1 else 0",
    }


def _at_once(python: str, channels: str, choice: str) -> str:
    return choice.replace("scores", f"{python}[0]{channels}", 1)


def _python_floats(result: Mapping[str, Any]) -> str:
    if result["scale"] is None:
        return "y.astype(np.float32)"
    zero = int(result["zero_point"])
    return f"((y.astype(np.float32) - {zero}) * np.float32({float(result['scale'])!r}))"


def _position(contract: Contract, length: str, wanted: str, most: str = "") -> str:
    sampling = "half_pixel" if contract.sampling == "nearest" else contract.sampling
    least = "std::max({} - 1, 1)" if "double" in length else f"{most or 'max'}({{}} - 1, 1)"
    return _POSITIONS[sampling].format(length=length, wanted=wanted, most=least.format(wanted))


def _constants(numbers: Mapping[str, Sequence[float]], line: str, number: str) -> str:
    return "".join(
        line.format(name, ", ".join(number.format(float(value)) for value in values))
        for name, values in numbers.items()
    )
