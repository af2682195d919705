"""Work for the children of ``test_tools``: every way in which a native tool has been seen to end."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mosaic_deploy.errors import ModelError

Json = dict[str, Any]


def echo(request: Json, on_progress: Any) -> Json:
    """Answer with the request, the folder, the environment; talk on both streams, and tick twice."""
    on_progress(0.25, "listening")
    print("to standard output", flush=True)
    os.write(2, b"to standard error, from native code\n")
    time.sleep(request.get("nap_s", 0))
    on_progress(0.75, "answering")
    return {"heard": request, "cwd": str(Path.cwd()), "environment": dict(os.environ)}


def says_no(request: Json, on_progress: Any) -> Json:
    """Refuse with one of our own errors."""
    raise ModelError("net.onnx: node 'Erf_3' is not for this machine")


def raises(request: Json, on_progress: Any) -> Json:
    """Raise what nobody foresaw."""
    print("partitioning the graph")
    raise RuntimeError(request.get("text", "first line\nsecond line"))


def segfault(request: Json, on_progress: Any) -> Json:
    """Read address 0."""
    print("finalizing the graph")
    ctypes.string_at(0)
    return {}


def aborts(request: Json, on_progress: Any) -> Json:
    """End as a failed C++ assertion does."""
    os.kill(os.getpid(), signal.SIGABRT)
    return {}


def leaves(request: Json, on_progress: Any) -> Json:
    """End the process without an answer."""
    os._exit(request["status"])


def hangs(request: Json, on_progress: Any) -> Json:
    """Start a process of its own, write down both numbers, and sleep."""
    program = "import time; time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", program])
    done = Path(request["pids"])
    done.with_suffix(".part").write_text(f"{os.getpid()} {other.pid}")
    done.with_suffix(".part").rename(done)
    time.sleep(60)
    return {}


def hogs(request: Json, on_progress: Any) -> Json:
    """Take 16 MiB of memory every 10 ms."""
    held = []
    while True:
        held.append(b"x" * (16 << 20))
        time.sleep(0.01)


def holds(request: Json, on_progress: Any) -> Json:
    """Take some memory for an instant, and let it go again."""
    del_me = b"x" * request["size_bytes"]
    return {"size": len(del_me)}


def fills_the_disk(request: Json, on_progress: Any) -> Json:
    """Write to a device that is always full."""
    with open("/dev/full", "w", encoding="utf-8") as file:
        file.write("x")
    return {}


def no_json(request: Json, on_progress: Any) -> Json:
    """Answer with what JSON cannot hold."""
    return {"path": Path("x")}
