"""The child's side of ``tools``: ties itself to its parent, runs one function, answers in JSON lines.

Started as ``python -m mosaic_deploy.workers.worker PARENT CONTROL``. PARENT is the parent's process id,
CONTROL the descriptor of a socket: the parent's first byte starts the work (an end of file instead means
that the parent gave up), and every line that goes back is one JSON object:

    {"progress": [fraction, text]}   progress
    {"result": {...}, "peak": bytes} the function returned
    {"error": [class, message]}      it raised a MosaicError
    {"crash": text}                  it raised anything else; the traceback is in the log

The request is read from standard input; standard output and error are the log's, native code writes there.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, cast

from mosaic_deploy.errors import MosaicError, ToolError
from mosaic_deploy.workers.progress import OnProgress

JsonObject = dict[str, Any]
Work = Callable[[JsonObject, OnProgress], JsonObject]
"""What a worker runs: JSON in, JSON out."""

_PR_SET_PDEATHSIG = 1


def execute(request: JsonObject, _on_progress: OnProgress) -> NoReturn:
    """Become the program ``request["argv"]``: no answer comes. Raises ``ToolError`` if it cannot start."""
    argv = [str(part) for part in request["argv"]]
    try:
        os.execvp(argv[0], argv)  # noqa: S606  # that is the point: no shell
    except OSError as err:
        raise ToolError(f"cannot start '{argv[0]}': {err.strerror}") from err


def peak_bytes(pid: int | str = "self") -> int:
    """Peak resident memory of a process so far; 0 if it is gone."""
    return _status(pid, "VmHWM:")


def resident_bytes(pid: int | str = "self") -> int:
    """Resident memory of a process now; 0 if it is gone."""
    return _status(pid, "VmRSS:")


def _status(pid: int | str, field: str) -> int:
    # VmHWM and not rusage: ru_maxrss starts at what the parent held when it forked.
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0


def _tie_to(parent: int) -> None:
    """Die with the parent, leave Ctrl-C to it, dump no core, and be the kernel's first victim."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _send(control: socket.socket, message: JsonObject) -> None:
    control.sendall(json.dumps(message).encode() + b"\n")


def _work(call: JsonObject, on_progress: OnProgress) -> JsonObject:
    module, _, name = str(call["function"]).partition(":")
    try:
        function = cast("Work", getattr(importlib.import_module(module), name))
        return {"result": function(call["request"], on_progress), "peak": peak_bytes()}
    except MosaicError as err:
        return {"error": [type(err).__name__, str(err)]}
    except BaseException as err:  # noqa: BLE001  # whatever it is, the parent must hear of it
        traceback.print_exc()
        text = str(err).strip().splitlines()
        return {"crash": f"{type(err).__name__}: {text[0]}" if text else type(err).__name__}


def main(parent: int, descriptor: int) -> NoReturn:
    """Do what the module's docstring says, and leave without running native destructors."""
    _tie_to(parent)
    os.set_inheritable(descriptor, False)  # noqa: FBT003  # takes no keyword
    control = socket.socket(fileno=descriptor)
    if not control.recv(1):
        os._exit(1)
    call = json.load(sys.stdin)
    with open(os.devnull, encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), 0)
    answer = _work(call, lambda fraction, text: _send(control, {"progress": [float(fraction), text]}))
    try:
        _send(control, answer)
    except (TypeError, ValueError) as err:
        _send(control, {"crash": f"the answer is not JSON: {err}"})
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
