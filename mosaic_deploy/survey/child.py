"""The command line run by a child process that says what it cost."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

MEMORY_BYTES = 18 * GIB
"""Of a command and all that it starts: what backends allow their tools at most, and some for itself."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of ``mosaic-deploy``."""

    code: int
    said: str
    """The last line of what it says to a person."""
    seconds: float
    """Wall clock."""
    cpu_s: float
    """Processor time of it and all its children, start-up included."""


def run(arguments: Sequence[str], *, out: Path, log: Path, cwd: Path, timeout_s: float) -> Ran:
    """Run ``mosaic-deploy ARGUMENTS``; what it prints goes to ``out``, what it says to ``log``.

    Raises ``ToolError`` where it runs too long or takes too much memory.
    """
    log.unlink(missing_ok=True)
    err = log.with_suffix(".said")
    request = {"arguments": list(arguments), "out": str(out), "err": str(err)}
    name = f"mosaic-deploy {arguments[0]}"
    done = call(Call(command, request, timeout_s, MEMORY_BYTES, log, cwd, {}, name))
    said = [line for line in err.read_text(errors="replace").splitlines() if line.strip()]
    result = done.result
    return Ran(int(result["code"]), said[-1].strip() if said else "", done.seconds, float(result["cpu_s"]))


def command(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Run ``request["arguments"]``; the exit code and processor seconds of all that it started."""
    with open(request["out"], "wb") as out, open(request["err"], "wb") as err:
        argv = [sys.executable, "-P", "-m", "mosaic_deploy", *request["arguments"]]
        code = subprocess.run(argv, stdout=out, stderr=err, check=False).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"code": code, "cpu_s": used.ru_utime + used.ru_stime}
