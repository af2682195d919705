"""What ``build MODEL`` may be: a card's name, a card, weights with a card beside them, or any ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from mosaic_deploy.build.own_classes import own_classes
from mosaic_deploy.build.pixel_units import require_pixel_units
from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.graph.ends.describe import FileFacts, describe
from mosaic_deploy.graph.reader.read import Reading
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import LabelSpace
from mosaic_deploy.specs.model_card import ModelCard, Source
from mosaic_deploy.specs.registry import locate_spec, read_spec

_TORCH = "a PyTorch file: export it to ONNX first, with torch.onnx.export (docs/how-to/own-model.md)"
_KERAS = "a Keras or TensorFlow model: convert it to ONNX first, with tf2onnx"
_FOREIGN = {
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".ckpt": _TORCH,
    ".pt2": _TORCH,
    ".h5": _KERAS,
    ".keras": _KERAS,
    ".pb": _KERAS,
    ".tflite": "a TFLite file: mosaic-deploy import-tflite reads a float one; MLPerf's MOSAIC: import-mlperf",
    ".ort": "ONNX Runtime's own format: build from the .onnx that it was made of",
}
"""What files of other frameworks are, and the way from there to here."""


@dataclass(frozen=True, slots=True)
class InputOptions:
    """What the command line says about an ONNX file that has no card; None where it says nothing."""

    mean: tuple[float, float, float] | None = None
    scale: tuple[float, float, float] | None = None
    colour: str | None = None
    resize: str | None = None
    input_shape: tuple[int, ...] | None = None
    """The image's sides, where the file has dynamic ones."""
    output_name: str | None = None
    """The output to deploy, where the file has several."""
    threshold: float | None = None
    """Above which a lone score per pixel is the foreground's."""

    @classmethod
    def parse(
        cls,
        mean: str | None,
        scale: str | None,
        colour: str | None,
        resize: str | None,
        *,
        shape: str | None = None,
        output: str | None = None,
        threshold: float | None = None,
    ) -> InputOptions:
        """Read them as typed: one number for all colours, or three with commas; raises ``UsageError``."""
        reading = Reading.parse(shape, output)
        means, scales = _triple(mean, "mean"), _triple(scale, "scale")
        return cls(means, scales, colour, resize, reading.input_shape, reading.output, threshold)

    @property
    def reading(self) -> Reading:
        """What is said of a file that leaves its size or output open."""
        return Reading(self.input_shape, self.output_name)

    @property
    def given(self) -> bool:
        """Whether any of them was used."""
        return self != InputOptions()


@dataclass(frozen=True, slots=True)
class Model:
    """A card, and the folder that its relative paths start from."""

    card: ModelCard
    root: Path
    keep_quantization: bool = True
    """Whether ranges that an already quantised ONNX file states go with the graph."""


def find_model(name: str, *, options: InputOptions, labels: LabelSpace | None) -> Model:
    """Resolve what a person typed.

    Args:
        name: a card's name (``mosaic``), a ``.toml`` card, a ``.safetensors`` with its card of the same
            name beside it, or an ``.onnx`` with such a card or with input ``options``.
        options: facts about the input of an ONNX without a card.
        labels: the classes of the data set in use, for an ONNX without a card.

    Raises:
        UsageError: the options clash with a card, or are needed and missing.
        SpecError: an unknown name, or a card that breaks its schema.
        ModelError: the file cannot be used.
    """
    path = Path(name)
    _require_known_form(path)
    words = "--input-mean {}", "--input-scale {}"
    require_pixel_units(options.mean, options.scale, where="", words=words)
    if path.suffix in (".onnx", ".safetensors"):
        if not path.is_file():
            raise ModelError(f"{name}: no such file")
        card = path.with_suffix(".toml")
        if not card.is_file():
            if path.suffix == ".onnx":
                return Model(_describe(path, options, labels), path.parent)
            raise UsageError(
                f"{name}: weights need their model card {card.name} beside them; "
                "'mosaic-deploy import-mlperf' writes one, for trained weights copy models/mosaic.toml"
            )
    else:
        card = locate_spec(ModelCard, name)
    if options.given:
        raise UsageError(f"{card.name} already says how to feed the model: leave the --input options out")
    stated = read_spec(ModelCard, card)
    if stated.contract.dtype == "float32":
        words = "mean = [{}]", "scale = [{}]"
        require_pixel_units(
            stated.contract.mean, stated.contract.scale, where=f"{card}: contract: ", words=words
        )
    return Model(stated, card.parent)


def has_card(name: str) -> bool:
    """Whether a model card says what the classes are of what a person typed."""
    path = Path(name)
    return path.suffix != ".onnx" or path.with_suffix(".toml").is_file()


def _require_known_form(path: Path) -> None:
    """Raise ``ModelError`` for a file of another framework, and for one that is no model card's name."""
    said = _FOREIGN.get(path.suffix.lower())
    if said is not None:
        missing = "" if path.is_file() else "no such file, and "
        raise ModelError(f"{path}: {missing}not an ONNX file: {said}")
    if path.suffix and path.suffix not in (".onnx", ".safetensors", ".toml") and path.is_file():
        raise ModelError(f"{path}: not a model: name an .onnx file, a model card .toml, or a card's name")


def _describe(path: Path, options: InputOptions, labels: LabelSpace | None) -> ModelCard:
    facts = describe(path, options.reading)
    _require_feeding(path, facts, options)
    if labels is None:
        raise UsageError(f"{path}: has no model card, so --data must name images: --data folder:DIR")
    if not labels.classes:
        labels = own_classes(path, 1 if facts.lone else facts.channels)
    stem = "".join(c if c.isalnum() or c in "_.-" else "-" for c in path.stem.lower()).strip("-._")
    reading = options.reading
    return ModelCard(
        schema=1,
        name=stem[:64] or "model",
        summary=f"described on the command line: {path.name}",
        licence="not stated",
        source=Source(onnx=Path(path.name), input_shape=reading.input_shape, output=reading.output),
        contract=_contract(path, facts, options, labels),
        data=None,
    )


def _require_feeding(path: Path, facts: FileFacts, options: InputOptions) -> None:
    """Raise ``UsageError`` unless it is known, once, how pixels become the file's input."""
    given = options.mean is not None or options.scale is not None
    if facts.dtype == "uint8" and given:
        raise UsageError(
            f"{path}: takes uint8 pixels as they are, and what the network wants is in its graph: leave "
            "--input-mean and --input-scale out"
        )
    if facts.dtype == "uint8" or (options.mean is not None and options.scale is not None):
        return
    if facts.normalises and not given:
        raise UsageError(
            f"{path}: its input is float, and its graph begins with arithmetic on the pixels: if it takes "
            "them raw, say --input-mean 0 --input-scale 1"
        )
    raise UsageError(
        f"{path}: its input is float, so say how pixels become it: --input-mean and --input-scale "
        f"(input = (pixel - mean) / scale), or put a model card {path.stem}.toml beside it"
    )


def _contract(path: Path, facts: FileFacts, options: InputOptions, labels: LabelSpace) -> Contract:
    if facts.channels is not None and facts.channels not in (1, len(labels.classes)):
        raise UsageError(
            f"{path}: gives {facts.channels} scores per pixel, and the data has {len(labels.classes)} "
            f"classes, {labels.classes[0]} to {labels.classes[-1]}: --data must have this network's"
        )
    if facts.lone and len(labels.classes) != 2:
        raise UsageError(
            f"{path}: gives one score per pixel, which tells 2 classes apart, and the data has "
            f"{len(labels.classes)}: --data must have background and foreground"
        )
    if options.threshold is not None and not facts.lone:
        raise UsageError(f"{path}: gives a score per class: --threshold is for one score per pixel")
    threshold = facts.threshold if options.threshold is None else options.threshold
    stated = {
        "mean": options.mean,
        "scale": options.scale,
        "colour": options.colour,
        "resize": options.resize,
        "output": facts.output,
        "threshold": threshold if facts.lone else None,
    }
    try:
        return Contract.model_validate(
            {
                "height": facts.height,
                "width": facts.width,
                "layout": facts.layout,
                "dtype": facts.dtype,
                "classes": labels.classes,
                "palette": labels.palette,
                "unscored": labels.unscored,
                **{key: value for key, value in stated.items() if value is not None},
            }
        )
    except ValidationError as err:
        problem = err.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UsageError(f"{path}: {where}: {problem['msg']}") from err


def _triple(text: str | None, what: str) -> tuple[float, float, float] | None:
    if text is None:
        return None
    wrong = f"--input-{what} {text!r}: one number, or three with commas"
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as err:
        raise UsageError(wrong) from err
    if len(values) == 1:
        values *= 3
    if len(values) != 3:
        raise UsageError(wrong)
    return values[0], values[1], values[2]
