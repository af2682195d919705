"""Graphs on ONNX Runtime's CPU kernels: one way to open one, to run it, and to show its inner tensors.

For child processes: ONNX Runtime is loaded by what is called here, never by an import of this module.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from numpy.typing import NDArray

from mosaic_deploy.errors import ModelError, ToolError

if TYPE_CHECKING:
    import onnx

MISSING = (
    "graphs are run on ONNX Runtime, which is missing: pip install 'mosaic-deploy[ort]' "
    "(in a clone: uv sync --inexact --extra ort)"
)
WRONG_OPTIMIZERS = ("Pad_Fusion",)
"""Of ONNX Runtime 1.26's, what may make another network of a graph; see ``held_pads``."""
_ERRORS_ONLY, _FATAL_ONLY = 3, 4  # of ONNX Runtime's five severities
_CPP = (RuntimeError, ValueError, NotImplementedError, IndexError)  # what C++ throws through its bindings


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a session."""

    name: str
    type: str
    """In ONNX Runtime's words, ``tensor(float)`` say."""
    shape: tuple[int, ...]
    """-1 for a side that is not static."""


@final
class Session:
    """A graph that can be run on ONNX Runtime's CPU kernels."""

    def __init__(
        self,
        model: onnx.ModelProto | Path | bytes,
        *,
        threads: int = 1,
        optimize: bool = False,
        quiet: bool = False,
        keep_memory: bool = True,
    ) -> None:
        """Open a graph.

        Args:
            model: the graph, its bytes, or its file, which may have its weights beside it.
            threads: of the kernels.
            optimize: let ONNX Runtime fuse nodes, without its ``WRONG_OPTIMIZERS``; else they run one by one
                as they stand, so that tensors in the middle can be read and rounding is the operators' own.
            quiet: log nothing but what ends the process.
            keep_memory: keep what a run needed for the next one, which is quicker; else give it back.

        Raises ``ModelError`` where ONNX Runtime does not load it, ``ToolError`` where it is not installed.
        """
        try:
            import onnxruntime as ort
        except ModuleNotFoundError as err:
            raise ToolError(MISSING) from err

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _FATAL_ONLY if quiet else _ERRORS_ONLY
        options.enable_cpu_mem_arena = keep_memory
        if not optimize:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        source = model if isinstance(model, Path | bytes) else model.SerializeToString()
        try:
            self._session = ort.InferenceSession(
                str(source) if isinstance(source, Path) else source,
                options,
                ["CPUExecutionProvider"],
                disabled_optimizers=WRONG_OPTIMIZERS,
            )
        except Exception as err:
            raise _translated(err) from err
        self.version = str(ort.__version__)
        self.inputs = _ports(self._session.get_inputs())
        self.outputs = _ports(self._session.get_outputs())

    def run(
        self, feeds: Mapping[str, NDArray[Any]], names: Sequence[str] | None = None
    ) -> list[NDArray[Any]]:
        """Return the named outputs, or all of them; raises ``ModelError`` where ONNX Runtime fails."""
        try:
            found: list[NDArray[Any]] = self._session.run(None if names is None else list(names), dict(feeds))
        except Exception as err:
            raise _translated(err) from err
        return found


def expose(model: onnx.ModelProto, names: Collection[str] | None = None) -> onnx.ModelProto:
    """Copy a graph so that inner tensors are outputs too, behind its own.

    Args:
        model: left as it is.
        names: of tensors that nodes make; None stands for all of them, in the nodes' order.
    """
    import onnx

    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    wanted = [n for node in model.graph.node for n in node.output if n] if names is None else names
    outputs = {value.name for value in model.graph.output}
    known = {value.name: value for value in model.graph.value_info}
    for name in wanted:
        if name not in outputs:
            shown.graph.output.append(known.get(name, onnx.ValueInfoProto(name=name)))
    return shown


def _ports(values: Sequence[Any]) -> tuple[Port, ...]:
    return tuple(
        Port(v.name, v.type, tuple(side if isinstance(side, int) else -1 for side in v.shape)) for v in values
    )


def _translated(err: Exception) -> Exception:
    """A ``ModelError`` for what ONNX Runtime raises, whose exceptions share no base class."""
    if not type(err).__module__.startswith("onnxruntime") and type(err) not in _CPP:
        return err
    said = str(err).strip().splitlines() or [type(err).__name__]
    return ModelError(f"ONNX Runtime does not run the graph: {said[0][:300]}")
