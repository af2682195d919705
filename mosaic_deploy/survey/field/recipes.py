"""What the field bench makes its networks from: a line of ``networks.toml`` each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from mosaic_deploy.backends.litert import importing
from mosaic_deploy.errors import UsageError
from mosaic_deploy.specs.fields import Name, Spec
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.toml import nearest, read_toml
from mosaic_deploy.specs.toolchain import load_toolchain

TOOLCHAIN = "field"
MAKER = Path(__file__).with_name("make.py")
LIST = Path(__file__).with_name("networks.toml")
Value = str | bool | int | float


class Network(Spec):
    """How one network is made."""

    name: Name
    package: Literal["torchvision", "smp", "timm"]
    factory: str
    """What the package calls it: a function of ``torchvision.models.segmentation``, a class of
    ``segmentation_models_pytorch``, a model of timm."""
    arguments: dict[str, Value] = Field(default_factory=dict)
    head: Literal["pyramid", "tokens"] = "pyramid"
    """Of timm's: whether the small head reads the pyramid of feature maps or the last tokens."""
    size: Annotated[int, Field(ge=64, le=2048)] = 256
    """Height and width of the input in pixels."""
    opset: Annotated[int, Field(ge=13, le=24)] = 18
    exporter: Literal["dynamo", "torchscript"] = "dynamo"

    def digest(self) -> str:
        """A short hash of the line, the code and packages that make it, and the images it settles on."""
        held = {
            "recipe": self.model_dump(mode="json"),
            "maker": hashlib.sha256(MAKER.read_bytes()).hexdigest(),
            "toolchain": load_toolchain(TOOLCHAIN).digest(),
            "images": [hashlib.sha256(path.read_bytes()).hexdigest() for path in settling_images()],
        }
        return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:16]


class Fetched(Spec):
    """A trained network that tells one thing from the background, a float TFLite file in a package of npm."""

    name: Name
    npm: Annotated[str, Field(pattern=r"^(@[\w.-]+/)?\w[\w.-]*@\d[\w.-]*$")]
    """The package and its version, ``@scope/package@1.2.3``."""
    file: Annotated[str, Field(pattern=r"^[\w./-]+\.tflite$")]
    """Within the package."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of that file."""
    size: tuple[Annotated[int, Field(ge=32, le=2048)], Annotated[int, Field(ge=32, le=2048)]]
    """Height and width of its image."""
    mean: float
    scale: float
    """Its input is (pixel - mean) / scale."""
    thing: str
    """What it tells from the background, where its score is above 0.5."""

    def digest(self) -> str:
        """A short hash of the line and of what reads the file."""
        reader = Path(importing.__path__[0])
        held = {
            "recipe": self.model_dump(mode="json"),
            "reader": [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(reader.glob("*.py"))],
        }
        return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:16]


class NetworkList(Spec):
    """``networks.toml``."""

    schema_version: Literal[1] = Field(alias="schema")
    networks: tuple[Network, ...] = ()
    fetched: tuple[Fetched, ...] = ()


def settling_images() -> list[Path]:
    """The six street scenes on which batch norms get their statistics."""
    return sorted((spec_root() / "calib_data" / "streets" / "val" / "images").iterdir())[:6]


def read_networks(path: Path = LIST, names: Sequence[str] = ()) -> tuple[Network | Fetched, ...]:
    """Read the list, or those named of it, in its order.

    Raises ``SpecError`` for a list that breaks its schema, ``UsageError`` for a name that it lacks, and for a
    list of nothing.
    """
    held = read_toml(NetworkList, path)
    listed: tuple[Network | Fetched, ...] = (*held.networks, *held.fetched)
    if not listed:
        raise UsageError(f"{path}: names no network")
    known = [network.name for network in listed]
    twice = sorted({name for name in known if known.count(name) > 1})
    if twice:
        raise UsageError(f"{path}: more than one network is called {', '.join(twice)}")
    for name in names:
        if name not in known:
            raise UsageError(f"no network '{name}'{nearest(name, known)}; known: {', '.join(known)}")
    return tuple(network for network in listed if not names or network.name in names)
