"""What a child process is asked to do, and how it is started: here, or in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from mosaic_deploy.workers.worker import Work

GIB = 1 << 30
_INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
    "CUDA_VISIBLE_DEVICES",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One function to run in a process of its own."""

    function: Work
    """A function of a module's top level, which the child finds by its name; heavy imports wait inside it."""
    request: Mapping[str, Any]
    """Its argument, which must survive JSON: a copy is kept, so later changes do not reach the child."""
    timeout_s: float
    memory_bytes: int
    """Most resident memory of the child and all that it starts."""
    log: Path
    """Gets all that is printed, after what it holds already."""
    cwd: Path
    """Working and temporary folder, made if need be; the caller removes it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the few variables that children inherit, such as PATH; for example OMP_NUM_THREADS."""
    name: str = ""
    """What it does, for error texts; the function's name if empty."""
    interpreter: Path | None = None
    """Python of another environment, which sees that environment and this package alone; None is ours."""
    keep_log: bool = True
    """Whether the log of a failure is copied to where it outlives the work; the error names it."""

    def __post_init__(self) -> None:
        """Freeze the request; raises ``TypeError`` for what the child could not find or read."""
        if "<" in self.function.__qualname__:
            raise TypeError(f"{self.function.__qualname__} is not a function of a module's top level")
        object.__setattr__(self, "request", MappingProxyType(json.loads(json.dumps(dict(self.request)))))

    @property
    def place(self) -> str:
        """``package.module:name`` of the function."""
        return f"{self.function.__module__}:{self.function.__qualname__}"


def request_file(job: Call) -> IO[bytes]:
    """The job as the child reads it, in a file that lies in memory alone."""
    file = os.fdopen(os.memfd_create("request"), "w+b")
    file.write(json.dumps({"function": job.place, "request": dict(job.request)}).encode())
    file.seek(0)
    return file


_BOOTSTRAP = """
import importlib.util, runpy, sys
package = sys.argv.pop(1)
spec = importlib.util.spec_from_file_location(
    "mosaic_deploy", package + "/__init__.py", submodule_search_locations=[package]
)
sys.modules["mosaic_deploy"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
runpy.run_module("mosaic_deploy.workers.worker", run_name="__main__")
"""
"""Makes this very package known to an interpreter that has it not, and nothing of what lies beside it."""


def _argv(job: Call) -> list[str]:
    if job.interpreter is None:
        return [sys.executable, "-P", "-u", "-X", "faulthandler", "-m", "mosaic_deploy.workers.worker"]
    package = Path(__file__).resolve().parents[1]
    return [str(job.interpreter), "-I", "-u", "-X", "faulthandler", "-c", _BOOTSTRAP, str(package)]


def spawn(job: Call, control: int, request: IO[bytes], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the child, which waits for a byte on ``control``; raises ``OSError`` where it cannot start."""
    return subprocess.Popen(
        [*_argv(job), str(os.getpid()), str(control)],
        stdin=request,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=job.cwd,
        env=_environment(job),
        pass_fds=(control,),
        start_new_session=True,
    )


def _environment(job: Call) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    path = os.pathsep.join(entry for entry in sys.path if Path(entry).is_absolute())
    if job.interpreter is not None:
        path = ""
    fixed = {"PYTHONPATH": path, "PYTHONHASHSEED": "0", "TMPDIR": str(job.cwd.absolute())}
    return kept | fixed | dict(job.environment)
