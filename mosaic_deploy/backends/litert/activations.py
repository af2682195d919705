"""The range of every activation of a float TFLite file on the calibration images; for child processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import final

import numpy as np

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.errors import ModelError
from mosaic_deploy.quantize.histogram import Floats


@final
class Activations:
    """Runs a float file and shows all its activations.

    It makes a copy in which each is an output, so that XNNPACK still runs all of it: asking the interpreter
    to preserve its tensors would give up the fast kernels.
    """

    def __init__(self, path: Path, *, threads: int, pixels: list[float] | None) -> None:
        """Prepare the file; ``pixels`` are [mean, scale] where images are raw pixels to be normalised."""
        from ai_edge_litert.interpreter import Interpreter

        model = flatbuffer.load(path)
        graph = model.subgraphs[0]
        made = [int(i) for op in graph.operators for i in op.outputs]
        graph.outputs = [i for i in made if flatbuffer.dtype(graph.tensors[i]) == "FLOAT32"]
        names = [flatbuffer.title(graph.tensors[i]) for i in graph.outputs]
        if len({*names}) != len(names):
            raise ModelError(f"{path.name}: two tensors have one name, which ai-edge-quantizer takes for one")
        shown = path.with_suffix(".shown.tflite")
        flatbuffer.save(model, shown)
        self._pixels = pixels
        self._interpreter = Interpreter(str(shown), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = self._interpreter.get_output_details()

    def of(self, path: Path) -> Iterator[tuple[str, Floats]]:
        """Yield the input and every float tensor of a run on an image (.npy), by name."""
        image: Floats = np.load(path, allow_pickle=False).astype(np.float32)
        if self._pixels is not None:
            image = (image - np.float32(self._pixels[0])) / np.float32(self._pixels[1])
        self._interpreter.set_tensor(self._input["index"], image)
        self._interpreter.invoke()
        yield self._input["name"], image
        for detail in self._outputs:
            values: Floats = self._interpreter.get_tensor(detail["index"])
            yield detail["name"], values
