"""What a build depends on, as digests: a second build from the same has nothing to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path

from mosaic_deploy._version import __version__
from mosaic_deploy.build.model_source import Model
from mosaic_deploy.build.plan import Plan
from mosaic_deploy.datasets.samples import FileDataset
from mosaic_deploy.errors import DataError, ModelError
from mosaic_deploy.files import sha256_of
from mosaic_deploy.graph.reader.read import FILE_BYTES, read_model
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.toolchain import toolchain_record


@dataclass(frozen=True, slots=True)
class Digests:
    """Digests of plans; what several plans share is read once."""

    _files: dict[Path, str] = field(default_factory=dict)
    _models: dict[Path, str] = field(default_factory=dict)

    def of(self, item: Plan) -> Mapping[str, str]:
        """Hex digests, by what they are of: ``model``, ``data``, ``recipe`` and so on.

        Raises ``ModelError`` or ``DataError`` for a file that cannot be read.
        """
        return {
            "model": self._model(item.model),
            "data": _digest([self._data(item.calibration), self._data(item.validation)]),
            "recipe": _digest(item.recipe.model_dump(mode="json", by_alias=True)),
            "target": _digest([item.target.model_dump(mode="json", by_alias=True), _table(item)]),
            "toolchains": _digest([toolchain_record(name) for name in item.toolchains]),
            "options": _digest(
                [
                    item.output,
                    item.fix,
                    asdict(item.limits),
                    list(item.devices),
                    _ranges(item),
                    item.all_images,
                ]
            ),
            "code": _code(),
        }

    def _model(self, model: Model) -> str:
        card = model.card.model_dump(mode="json", by_alias=True)
        rest = {f.name: repr(getattr(model, f.name)) for f in fields(model) if f.name not in ("card", "root")}
        source = model.card.source
        files = [
            self._graph(model.root / source.onnx) if source.onnx is not None else None,
            self._file(model.root / source.weights, ModelError) if source.weights is not None else None,
        ]
        return _digest([card, rest, files])

    def _graph(self, path: Path) -> str:
        """Of an ONNX file with all that it keeps in other files."""
        if path not in self._models:
            try:
                data = path.read_bytes() if path.stat().st_size <= FILE_BYTES else b""
            except OSError as err:
                raise ModelError(f"{path}: cannot be read ({err.strerror})") from err
            if not data or b"location" in data:  # a file that keeps tensors elsewhere names the place so
                data = read_model(path).SerializeToString(deterministic=True)
            self._models[path] = hashlib.sha256(data).hexdigest()
        return self._models[path]

    def _data(self, dataset: FileDataset) -> list[object]:
        stated = [dataset.name, dataset.note, dataset.upright, repr(dataset.labels)]
        items = [
            [item.name, *(None if p is None else self._file(p, DataError) for p in (item.image, item.label))]
            for item in dataset.items
        ]
        return [stated, [self._file(path, DataError) for path in dataset.stated_by], items]

    def _file(self, path: Path, error: type[ModelError | DataError]) -> str:
        if path not in self._files:
            try:
                self._files[path] = sha256_of(path)
            except OSError as err:
                raise error(f"{path}: cannot be read ({err.strerror})") from err
        return self._files[path]


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """What differs, in the order of ``now``; everything where nothing is known of before."""
    return tuple(name for name, digest in now.items() if before.get(name) != digest)


def _ranges(item: Plan) -> object:
    return None if item.ranges is None else item.ranges.model_dump(mode="json", by_alias=True)


def _table(item: Plan) -> str:
    if item.target.ops is None:
        return ""
    return _of_files([spec_root() / "targets" / "ops" / f"{item.target.ops}.toml"])


@cache
def _code() -> str:
    """Of this package's own code: in a clone that changes without a new version."""
    package = Path(__file__).resolve().parents[1]
    compilers = spec_root() / "targets" / "compilers"
    own = (path for pattern in ("*.py", "*.j2", "*.css", "*.js") for path in package.rglob(pattern))
    return _digest([__version__, _of_files([*own, *compilers.glob("*.toml")])])


def _of_files(paths: Iterable[Path]) -> str:
    named = sorted((path.name, path) for path in paths)
    return _digest([[name, sha256_of(path)] for name, path in named])


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
