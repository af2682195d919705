"""The cases of a folder: what each stands for, and how it is tried."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mosaic_deploy.errors import UsageError

LIST = Path(__file__).with_name("cases.toml")
_FEEDING = ("--input-mean", "127.5", "--input-scale", "127.5")
_PLAIN = "c4"
_TWO = "two"


@dataclass(frozen=True, slots=True)
class Case:
    """A model, and what a person would say of it."""

    name: str
    path: Path
    kind: str
    options: tuple[str, ...]
    """Of ``build``: how the model is fed, what it leaves open."""
    data: str
    """``NAME:DIR`` for ``--data``."""
    expect: str = "built"
    says: str = ""
    """What the refusal's line must hold."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Target -> what is expected there instead."""

    def expected(self, target: str) -> str:
        """What a build is to come to."""
        return self.elsewhere.get(target, self.expect)

    @property
    def reading(self) -> tuple[str, ...]:
        """The options that ``check`` takes as well."""
        pairs = zip(self.options[::2], self.options[1::2], strict=True)
        return tuple(
            text for option, value in pairs if option.startswith(("--input-shape", "--output-name"))
            for text in (option, value)
        )  # fmt: skip


def read_cases(folder: Path, scratch: Path, wanted: tuple[str, ...]) -> tuple[Case, ...]:
    """The models below ``folder``, in the order of their names; ``wanted`` names some of them.

    Raises ``UsageError`` where there are none, or none of such a name.
    """
    stated = tomllib.loads(LIST.read_text(encoding="utf-8"))["case"]
    models = sorted((folder / "models").glob("*.onnx"))
    known = {path.stem for path in models}
    for name in wanted:
        if name not in known:
            raise UsageError(f"no case '{name}' in {folder / 'models'}")
    if not models:
        raise UsageError(f"{folder}: holds no models/*.onnx")
    chosen = [path for path in models if not wanted or path.stem in wanted]
    return tuple(_case(path, stated.get(path.stem, {}), folder / "images", scratch) for path in chosen)


def _case(path: Path, said: dict[str, object], images: Path, scratch: Path) -> Case:
    options: tuple[str, ...] = tuple(said.get("options", _FEEDING))  # type: ignore[arg-type]
    if said.get("add"):
        options += _FEEDING
    return Case(
        name=path.stem,
        path=path,
        kind=str(said.get("kind", "not listed")),
        options=options,
        data=_data(str(said.get("data", _PLAIN)), images, scratch),
        expect=str(said.get("expect", "built")),
        says=str(said.get("says", "")),
        elsewhere=dict(said.get("on", {})),  # type: ignore[call-overload]
    )


def _data(name: str, images: Path, scratch: Path) -> str:
    if name == "camvid":
        return "camvid" if os.environ.get("MOSAIC_CAMVID") else "streets"
    if name != _TWO:
        return f"folder:{images / name}"
    place = scratch / "two-classes"
    if not place.exists():
        shutil.copytree(images / _PLAIN, place, copy_function=shutil.copyfile)
        for folder in (place, *place.rglob("*")):
            folder.chmod(0o755 if folder.is_dir() else 0o644)
        (place / "classes.txt").write_text("background\nforeground\n", encoding="utf-8")
    return f"folder:{place}"
