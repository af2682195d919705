"""The child's side of shape inference: onnx's C++ library alone, without the package around it.

Loading the library takes 16 ms; importing ``onnx``, with numpy, takes ten times that.
"""

from __future__ import annotations

import importlib.util
import resource
from pathlib import Path
from types import ModuleType

from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_LIBRARY = "onnx_cpp2py_export"


def infer(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Check ``folder/checked`` and write ``folder/sketch`` with its shapes to ``folder/inferred``.

    ``folder/begun`` appears once a failure is the model's and not the machine's. ``propagate`` says whether
    to compute the values of shapes, too; ``memory_bytes`` is the most address space that the process may
    get, ``cpu_s`` the most processor time.

    Raises:
        ModelError: the library's own words on what is wrong with the model.
        ToolError: onnx is not installed as it should be.
    """
    folder, library = Path(request["folder"]), _library()
    checked, sketch = (folder / "checked").read_bytes(), (folder / "sketch").read_bytes()
    limit = int(request["memory_bytes"])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # By processor time, so that a busy machine refuses no model that an idle one takes.
    resource.setrlimit(resource.RLIMIT_CPU, (int(request["cpu_s"]), int(request["cpu_s"]) + 1))
    (folder / "begun").touch()
    try:
        library.checker.check_model(checked, False, False, False)  # noqa: FBT003  # takes no keywords
        inferred = library.shape_inference.infer_shapes(sketch, True, True, bool(request["propagate"]))  # noqa: FBT003
    except MemoryError as err:
        raise ModelError(f"onnx needs more than {limit >> 20} MiB to infer its shapes") from err
    except (library.checker.ValidationError, library.shape_inference.InferenceError) as err:
        raise ModelError(f"not sound ONNX: {_words(err)}") from err
    except Exception as err:  # what C++ itself raises, on counts below zero and the like
        raise ModelError(
            f"not sound ONNX: onnx fails with '{_words(err)}'; perhaps some node's attributes are out of "
            "range"
        ) from err
    (folder / "begun").unlink()
    (folder / "inferred").write_bytes(inferred)
    return {}


def _words(err: Exception) -> str:
    return " ".join(str(err).split())[:300] or type(err).__name__


def _library() -> ModuleType:
    package = importlib.util.find_spec("onnx")
    homes = [] if package is None else list(package.submodule_search_locations or [])
    for path in (found for home in homes for found in Path(home).glob(f"{_LIBRARY}*.so")):
        spec = importlib.util.spec_from_file_location(f"onnx.{_LIBRARY}", path)
        if spec is not None and spec.loader is not None:
            library = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(library)
            return library
    raise ToolError("onnx is installed without its library: install mosaic-deploy again")
