"""A person's network with both ends in one form: what is checked and compiled, whatever its file is like."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.ends.back import settle_back
from mosaic_deploy.graph.ends.front import Front, settle_front, write_arithmetic
from mosaic_deploy.graph.ends.output import Back
from mosaic_deploy.graph.normal.normalise import read_network
from mosaic_deploy.graph.reader import shapes
from mosaic_deploy.graph.reader.read import AS_IT_IS, Reading

if TYPE_CHECKING:
    import onnx

    from mosaic_deploy.specs.contract import Contract


@dataclass(frozen=True, slots=True)
class Ends:
    """How the ends of the graph differ from the file's."""

    front: Front = field(default_factory=Front)
    back: Back = field(default_factory=Back)

    def contract(self, stated: Contract) -> Contract:
        """What the graph expects, given what the file does: of its pixels, their layout and their colours."""
        front = self.front
        change: dict[str, Any] = {}
        mean, scale = (0.0,) * 3, (1.0,) * 3
        if stated.dtype == "float32":
            mean, scale = stated.mean, stated.scale
        if front.swapped:
            mean, scale = mean[::-1], scale[::-1]
            change["colour"] = "BGR" if stated.colour == "RGB" else "RGB"
        if front.from_bytes or stated.dtype == "float32":
            change["dtype"] = "float32"
            change["scale"] = tuple(s / f for s, f in zip(scale, front.factor, strict=True))
            change["mean"] = tuple(
                m - o * s / f for m, s, f, o in zip(mean, scale, front.factor, front.offset, strict=True)
            )
        if front.turned:
            change["layout"] = "NCHW"
        return stated.model_copy(update=change)

    def to_json(self) -> dict[str, Any]:
        """As JSON's types."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Ends:
        """What ``to_json`` gave."""
        front, back = dict(record["front"]), dict(record["back"])
        front |= {key: tuple(front[key]) for key in ("factor", "offset")}
        back["moves"] = tuple((kind, tuple(order)) for kind, order in back["moves"])
        return cls(Front(**front), Back(**back))


@dataclass(frozen=True, slots=True)
class Network:
    """A network as it is checked and compiled."""

    model: onnx.ModelProto
    ends: Ends


def settle(model: onnx.ModelProto) -> Network:
    """Give a normalised network's ends one form; the model itself is not changed.

    Args:
        model: as ``read_network`` returned it. One with several inputs or outputs keeps them as they are, and
            so does an odd one of which no sound ONNX could be made.
    """
    made = type(model)()
    made.CopyFrom(model)
    front = settle_front(made)
    back = settle_back(made) if len(made.graph.output) == 1 else Back()
    if made == model:
        return Network(model, Ends(front, back))
    try:
        shapes.infer(made)
    except ModelError:
        return Network(model, Ends())
    return Network(made, Ends(front, back))


def take_pixels(model: onnx.ModelProto, contract: Contract) -> Contract | None:
    """Let a graph normalise its pixels itself where each colour is normalised in its own way.

    An integer input holds raw pixels exactly, but has one grid for all colours.

    Args:
        model: a settled graph with float32 input, which is changed.
        contract: what it expects.

    Returns:
        What it expects now, pixels as they are; None where one mean and scale serve all colours, and nothing
        is changed.
    """
    if contract.dtype != "float32" or len({*contract.mean}) == len({*contract.scale}) == 1:
        return None
    pairs = tuple(zip(contract.mean, contract.scale, strict=True))
    red, green, blue = ((1 / scale, -mean / scale) for mean, scale in pairs)
    write_arithmetic(model, (red[0], green[0], blue[0]), (red[1], green[1], blue[1]))
    return contract.model_copy(update={"mean": (0.0, 0.0, 0.0), "scale": (1.0, 1.0, 1.0)})


def read_deployed(path: Path, reading: Reading = AS_IT_IS) -> onnx.ModelProto:
    """Read an ONNX file as ``read_network`` does, with its ends as a build compiles them."""
    return settle(read_network(path, reading)).model
