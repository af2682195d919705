"""ONNX files as they are, float or quantised, on ONNX Runtime's CPU kernels; nothing is built here."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from mosaic_deploy.backends import reference
from mosaic_deploy.backends.protocol import CompiledModel, File, Run, Step, WorkDir
from mosaic_deploy.errors import ModelError
from mosaic_deploy.quantize.boundary import to_floats, to_integers
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.metadata import METADATA_KEY
from mosaic_deploy.specs.toolchain import toolchain_python, unavailable
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

CONTEXT = "EPContext"
"""The operator of a graph that only loads what a compiler made."""
_RUN_S = 3600.0
_PER_TENSOR = 1


def look(path: Path) -> JsonObject:
    """Read a file without running it.

    Returns:
        ``input`` and ``output`` as a manifest has them, 0 for a side that is not fixed; ``description``, what
        mosaic-deploy wrote into it, or None; ``context``, whether it only loads a compiled context.

    Raises ``ModelError`` for what is no sound file of one input and one output.
    """
    from mosaic_deploy.graph.reader.read import read_names

    model = read_names(path)
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    ends = {
        "input": [value for value in graph.input if value.name not in constants],
        "output": list(graph.output),
    }
    for role, values in ends.items():
        if len(values) != 1:
            raise ModelError(f"{path}: has {len(values)} {role}s, one is expected")
    stated = {entry.key: entry.value for entry in model.metadata_props}
    nodes = [node.op_type for node in graph.node]
    return {
        "input": _port(model, ends["input"][0], input_=True),
        "output": _port(model, ends["output"][0], input_=False),
        "description": stated.get(METADATA_KEY),
        "context": nodes == [CONTEXT],
    }


def as_built(path: Path, facts: JsonObject, _folder: Path) -> CompiledModel:
    """The file where it lies, as ``OnnxRuntime`` runs it."""
    known: dict[str, object] = {
        "input": {"pixel_factor": None, "pixel_shift": 0.0, **facts["input"]},
        "output": facts["output"],
    }
    return CompiledModel(path.resolve().parent, (File(path.name, "onnx", ships=True),), (), known)


@final
class OnnxRuntime:
    """Runs them, as a backend runs what it built."""

    @property
    def toolchain(self) -> str:
        """That of the float reference."""
        return reference.TOOLCHAIN

    def missing(self) -> str | None:
        """Say why the toolchain cannot be had here, or None."""
        return unavailable(self.toolchain)

    def run(
        self,
        built: CompiledModel,
        contract: Contract,
        inputs: tuple[Path, ...],
        *,
        space: WorkDir,
        on_progress: OnProgress,
    ) -> Run:
        """Run the file in a child process; integers in and out as its own quantisers have them."""
        del contract
        folder = Path(tempfile.mkdtemp(prefix="onnx-", dir=space.scratch)).resolve()
        request: JsonObject = {
            "onnx": str((built.folder / built.files[0].path).resolve()),
            "inputs": [str(path.resolve()) for path in inputs],
            "outputs": [str(folder / path.name) for path in inputs],
            "input": built.facts["input"],
            "output": built.facts["output"],
        }
        job = Call(
            predict,
            request,
            timeout_s=_RUN_S,
            memory_bytes=4 * GIB,
            log=space.logs / "onnx.log",
            cwd=folder,
            interpreter=toolchain_python(self.toolchain),
        )
        made = call(job, on_progress=on_progress)
        version = str(made.result["version"])
        step = Step("run", "onnxruntime", version, made.seconds, made.peak_bytes)
        facts: dict[str, object] = {"ran_on": f"ONNX Runtime {version}, CPU"}
        return Run(tuple(folder / path.name for path in inputs), (step,), facts)


def predict(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Run ``request["onnx"]`` on ``inputs`` (.npy) into ``outputs`` (.npy), through the grids of its ends.

    Returns ``version`` of ONNX Runtime; raises ``ModelError`` where it cannot load or run the graph.
    """
    fed, source, result = [], request["input"], request["output"]
    for index, path in enumerate(request["inputs"]):
        fed.append(str(Path(f"in-{index:05d}.npy").resolve()))
        np.save(fed[-1], to_integers(np.load(path, allow_pickle=False), source), allow_pickle=False)
    found = reference.predict({**request, "inputs": fed}, on_progress)
    for path in request["outputs"]:
        np.save(path, to_floats(np.load(path, allow_pickle=False), result), allow_pickle=False)
    for path in fed:
        Path(path).unlink()
    return found


def _port(model: onnx.ModelProto, value: onnx.ValueInfoProto, *, input_: bool) -> dict[str, Any]:
    import onnx

    tensor = value.type.tensor_type
    scale, zero_point = _grid(model, value.name, input_=input_)
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    except KeyError as err:
        raise ModelError(f"'{value.name}' is of a type that is not known") from err
    return {
        "name": value.name,
        "shape": [int(dim.dim_value) for dim in tensor.shape.dim],
        "dtype": dtype,
        "scale": scale,
        "zero_point": zero_point,
    }


def _grid(model: onnx.ModelProto, name: str, *, input_: bool) -> tuple[float | None, int | None]:
    """Scale and zero point of an end of integers, as the node states them that makes floats of it, or it."""
    import onnx

    inside = onnx.TensorProto.DEFAULT
    constants: Mapping[str, onnx.TensorProto] = {
        t.name: t for t in model.graph.initializer if t.data_location == inside
    }
    wanted = "DequantizeLinear" if input_ else "QuantizeLinear"
    for node in model.graph.node:
        ends = node.input[:1] if input_ else node.output
        if node.op_type != wanted or name not in ends or len(node.input) < 3:
            continue
        try:
            values = [
                onnx.numpy_helper.to_array(constants[n]).reshape(-1)
                for n in node.input[1:3]
                if n in constants
            ]
        except (TypeError, ValueError) as err:
            raise ModelError(f"the grid of '{name}' is damaged") from err
        if len(values) == 2 and all(v.size == _PER_TENSOR for v in values):
            return float(values[0][0]), int(values[1][0])
    return None, None
