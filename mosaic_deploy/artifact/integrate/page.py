"""The page ``integrate.md``, put together from templates.

Below ``templates`` a folder for each runtime holds how its file is loaded and run in each language; the
arithmetic at the network's ends is the same for all of them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from mosaic_deploy._version import __version__
from mosaic_deploy.artifact.golden import FOLDER
from mosaic_deploy.artifact.integrate import ends
from mosaic_deploy.artifact.integrate.numbers import CPP, feeding, reading
from mosaic_deploy.backends.protocol import CompiledModel, File
from mosaic_deploy.specs.contract import Contract

PAGE = "integrate.md"
KIND = "integrate"
_TEMPLATES = Path(__file__).parent / "templates"
_RUNTIMES = {
    "context-onnx": "qnn",
    "echo": "onnxruntime",
    "openvino-xml": "openvino",
    "ort": "onnxruntime",
    "tflite": "litert",
}
"""Kind of a file that is loaded -> the folder of templates that says how."""
_JAVA = {"float32": "FLOAT", "uint8": "UINT8", "int8": "INT8"}
_LANGUAGES = {"python": ".py.txt", "cpp": ".cpp.txt", "kotlin": ".kt.txt"}
_NO_KOTLIN = "// Left out: in Java and Kotlin this runtime has no tensors of {}. Call it from C++."


@dataclass(frozen=True, slots=True)
class Integration:
    """What the page says of an artifact."""

    name: str
    """MODEL-TARGET-RECIPE."""
    built: CompiledModel
    contract: Contract
    """The artifact's."""
    ran_on: str
    """What the golden sample's output is from, in words."""
    golden: tuple[str, ...]
    """Paths of the golden sample's files."""


def write_page(item: Integration, folder: Path) -> tuple[File, ...]:
    """Write ``integrate.md`` into an artifact's folder; nothing where no template is for its files."""
    text = page(item)
    if text is None:
        return ()
    (folder / PAGE).write_text(text, encoding="utf-8")
    return (File(PAGE, KIND),)


def page(item: Integration) -> str | None:
    """The page's text; None where no kind of the artifact's files has templates."""
    loaded = [file for file in item.built.files if file.kind in _RUNTIMES]
    if not loaded:
        return None
    file = loaded[-1]  # of several devices' files the newest
    runtime = _TEMPLATES / _RUNTIMES[file.kind]
    facts = tomllib.loads((runtime / "facts.toml").read_text(encoding="utf-8"))
    words = {**facts, **_words(item), "file": file.path, "name": item.name, "version": __version__}
    code = {}
    for language, suffix in _LANGUAGES.items():
        own = {**words, **ends.parts(language, item.contract, _tensors(item))}
        if language == "kotlin":
            own["imports"] = facts["kotlin_imports"]
        own["runtime"] = _filled(runtime / f"run{suffix}", own).strip()
        code[language] = _filled(_TEMPLATES / f"ends{suffix}", own).strip()
    dtype = str(_tensors(item)["input"]["dtype"])
    if dtype not in _JAVA:
        code["kotlin"] = _NO_KOTLIN.format(dtype)
    return _filled(_TEMPLATES / "page.md", {**words, **code})


def _tensors(item: Integration) -> dict[str, dict[str, Any]]:
    return {role: dict(_record(item.built.facts[role])) for role in ("input", "output")}


def _record(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"facts of a tensor expected, not {value!r}")
    return value


def _words(item: Integration) -> dict[str, object]:
    contract, tensors = item.contract, _tensors(item)
    source, result = tensors["input"], tensors["output"]
    view = ends.view(contract, result)
    output = f"{FOLDER}/output.npy"
    return {
        "height": contract.height,
        "width": contract.width,
        "input_name": source["name"],
        "input_type": source["dtype"],
        "input_layout": contract.layout,
        "input_shape": _listed(source["shape"]),
        "input_cpp": CPP[str(source["dtype"])],
        "shape": ", ".join(str(side) for side in source["shape"]),
        "resize": _resize(contract),
        "colour": f"{contract.colour}, in that order",
        "words": f"{feeding(contract, source).words}{_normalisation(contract)}",
        "output_name": result["name"],
        "output_type": result["dtype"],
        "output_shape": _listed(result["shape"]),
        "output_cpp": CPP[str(result["dtype"])],
        "output_bytes": ends.size(str(result["dtype"])),
        "input_bytes": ends.size(str(source["dtype"])),
        "java_type": _JAVA.get(str(source["dtype"]), "FLOAT"),
        "rows": view.rows,
        "columns": view.columns,
        "channels": view.channels,
        "meaning": view.meaning,
        "output_grid": "none: the numbers are what they are"
        if result["scale"] is None
        else f"{result['scale']!r}, {result['zero_point']}: score = (number - zero point) * step",
        "decide": ends.decide(contract, view),
        "classes": _classes(contract.classes),
        "crop": _crop(contract),
        "ran_on": item.ran_on,
        "golden_output": f"| `{output}` | {result['dtype']} `{_listed(result['shape'])}`: what came out |\n"
        if output in item.golden
        else "",
        **reading_of(result),
    }


def reading_of(result: Mapping[str, Any]) -> dict[str, str]:
    """``read_cpp`` and ``read_kotlin``: a number of the output as a float."""
    return {f"read_{language}": text for language, text in reading(result).items()}


def _normalisation(contract: Contract) -> str:
    if contract.dtype == "uint8":
        return ""
    mean, scale = (
        ", ".join(f"{number:g}" for number in numbers) for numbers in (contract.mean, contract.scale)
    )
    return f"; normalised as in training with mean ({mean}) and scale ({scale})"


def _resize(contract: Contract) -> str:
    size = f"{contract.width} wide, {contract.height} high"
    if contract.resize == "stretch":
        return f"{size}: both sides stretched, bilinear with half-pixel centres, smoothed when it shrinks"
    return (
        f"{size}: the longer side fits, bilinear with aligned corners and no smoothing; the rest, at the "
        "bottom and right, is 127"
    )


def _crop(contract: Contract) -> str:
    if contract.resize == "stretch":
        return "To draw on the original image, resize the ids back to its size, to the nearest.\n"
    return "To draw on the original image, cut the padding off first, then resize the ids, to the nearest.\n"


def _classes(names: Sequence[str]) -> str:
    plain = ("".join(c if c.isprintable() and c not in "`|<>" else "?" for c in name) for name in names)
    return "Classes: " + ", ".join(f"{index} {name}" for index, name in enumerate(plain)) + "."


def _listed(shape: Sequence[object]) -> str:
    return f"({', '.join(str(side) for side in shape)})"


def _filled(place: Path, words: Mapping[str, object]) -> str:
    return Template(place.read_text(encoding="utf-8")).substitute(words)
