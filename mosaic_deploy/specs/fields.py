"""Field types that specs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Scalar = str | int | float | bool
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Switches = dict[str, Scalar | tuple[Scalar, ...]]
Options = dict[str, Scalar | tuple[Scalar, ...]]
"""What one backend alone understands."""


def _beside(path: Path) -> Path:
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ValueError(f"'{path}' must lie beside the card or below: no absolute path and no '..'")
    return path


Beside = Annotated[Path, AfterValidator(_beside)]
"""A file's path relative to the TOML file that names it, which never leads out of that file's folder."""


class Spec(BaseModel):
    """A value read from TOML: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Float = Literal["float16", "float32"]
OutputKind = Literal["logits", "lowres", "classmap", "lowmap", "vim"]
