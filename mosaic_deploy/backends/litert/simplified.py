"""onnx2tf's first step, onnxsim, run in this process; for child processes only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from mosaic_deploy.graph.held_pads import hold_pads, release_pads


def simplify_here() -> None:
    """Have onnx2tf simplify graphs in this process.

    By itself it starts the program ``onnxsim`` three times, and goes on without where PATH leads to none:
    the file would depend on how mosaic-deploy was started.

    Raises ``AttributeError`` for an onnx2tf that simplifies in another way.
    """
    os.environ["TQDM_DISABLE"] = "1"
    import onnx2tf.onnx2tf

    if not hasattr(onnx2tf.onnx2tf, "_run_onnxsim_inplace_safely"):
        raise AttributeError("this version of onnx2tf simplifies graphs in another way")
    done: set[bytes] = set()

    def simplify(*, input_onnx_file_path: str, append_param: Sequence[str]) -> str:
        if append_param:
            raise ValueError(f"arguments for onnxsim: {append_param}")
        path = Path(input_onnx_file_path)
        if sha256(path.read_bytes()).digest() not in done:
            _simplify(path)
            done.add(sha256(path.read_bytes()).digest())
        return ""

    onnx2tf.onnx2tf._run_onnxsim_inplace_safely = simplify


def _simplify(path: Path) -> None:
    import onnx
    import onnxsim

    model = onnx.load(path)
    held = hold_pads(model)
    simple, _ = onnxsim.simplify(model)
    release_pads(simple, held)
    onnx.save(simple, path)
