"""Small TFLite files for tests, made by hand, and their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray


def tflite_model() -> Any:
    """A model of one empty graph."""
    from ai_edge_litert import schema_py_generated as schema

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.metadata = 3, [graph], []
    model.operatorCodes, model.buffers = [], [schema.BufferT()]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
    return model


def tensor(model: Any, name: str, shape: list[int]) -> int:
    """Add a float tensor; gives its number."""
    from ai_edge_litert import schema_py_generated as schema

    made = schema.TensorT()
    made.name, made.shape, made.type, made.buffer = name.encode(), shape, schema.TensorType.FLOAT32, 0
    model.subgraphs[0].tensors.append(made)
    return len(model.subgraphs[0].tensors) - 1


def run(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    """What LiteRT makes of one input."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    result: NDArray[Any] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return result
