"""A child process of ``tools``: started, watched, ended, and its end put into words."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, final

from mosaic_deploy import errors
from mosaic_deploy.errors import MosaicError, ToolError
from mosaic_deploy.workers.kept_logs import keep_log
from mosaic_deploy.workers.spawn import GIB, Call, request_file, spawn
from mosaic_deploy.workers.worker import JsonObject, execute, peak_bytes, resident_bytes

_CENSUS_S = 1.0
_ERRORS: dict[str, type[MosaicError]] = {
    kind.__name__: kind
    for kind in (
        errors.MosaicError,
        errors.UsageError,
        errors.SpecError,
        errors.ModelError,
        errors.RefusedError,
        errors.DataError,
        errors.ToolError,
    )
}
_STACK_DUMP = (
    "Fatal Python error",
    "Current thread",
    "Thread 0x",
    "Extension modules:",
    "Traceback",
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call."""

    result: JsonObject
    """What the function returned; empty for a program."""
    seconds: float
    peak_bytes: int
    """Peak resident memory of the child, or of all its processes together where it started others."""


@final
class Child:
    """A running call. No method waits, but for the instant that a killed process takes to go."""

    def __init__(self, job: Call) -> None:
        """Start the process, which then waits for ``begin``; raises ``ToolError`` if there can be none.

        A process whose ``begin`` never comes, because an interrupt hit in between, ends by itself: it
        meets the end of its socket.
        """
        self.news: tuple[float, str] | None = None
        self._job = job
        self._name = job.name or job.function.__name__
        self._buffer = b""
        self._answer: JsonObject = {}
        self._peak = 0
        self._breach = ""
        self._group: tuple[int, ...] = ()
        self._counted = self._started = time.monotonic()
        self._control, its = socket.socketpair()
        self._control.settimeout(0)
        try:
            job.cwd.mkdir(parents=True, exist_ok=True)
            job.log.parent.mkdir(parents=True, exist_ok=True)
            with open(job.log, "ab") as log, request_file(job) as request:
                self._log_start = log.tell()
                self._process = spawn(job, its.fileno(), request, log)
            self._end = os.pidfd_open(self._process.pid)
        except OSError as err:
            self._control.close()
            raise ToolError(f"{self._name}: cannot start: {err.strerror or err}") from err
        finally:
            its.close()

    def begin(self) -> None:
        """Let it work."""
        with contextlib.suppress(OSError):
            self._control.send(b"!")

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What becomes readable when ``look`` would see something."""
        return tuple(fd for fd in (self._end, self._control.fileno()) if fd >= 0)

    def look(self) -> bool:
        """Take in its messages and hold it to its limits; whether it has ended."""
        # Not reaped yet, so that nobody else can get its number before ``kill``.
        ended = os.waitid(os.P_PIDFD, self._end, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        self._listen()
        if ended or self._breach:
            return ended
        now = time.monotonic()
        if now - self._counted >= _CENSUS_S or not self._group:
            self._group, self._counted = _members(self._process.pid), now
        held = sum(resident_bytes(pid) for pid in self._group)
        self._peak = max(self._peak, held, peak_bytes(self._process.pid))
        if self._peak > self._job.memory_bytes:
            self._break_off(f"needed more than {self._job.memory_bytes / GIB:.1f} GiB")
        elif now - self._started > self._job.timeout_s:
            self._break_off(f"ran longer than {self._job.timeout_s:g} s")
        return False

    def kill(self) -> None:
        """End it and all that it started, at once."""
        if self._end < 0:
            return
        with contextlib.suppress(OSError):  # the group is gone, or its leader not yet its leader
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        os.close(self._end)
        self._end = -1
        self._control.close()

    def outcome(self) -> Outcome:
        """What came of it, once it has ended; raises as ``tools.call`` says."""
        seconds = time.monotonic() - self._started
        self.kill()  # nothing that it started may outlive it
        if "error" in self._answer:
            kind, message = self._answer["error"]
            raise _ERRORS.get(kind, ToolError)(message)
        code = self._process.returncode
        if self._breach:
            self._fail(self._breach)
        if "crash" in self._answer:
            self._fail(str(self._answer["crash"]))
        if code < 0:
            self._fail(f"killed by {signal.Signals(-code).name}")
        if code > 0:
            self._fail(f"ended with status {code}")
        if "result" not in self._answer and self._job.function is not execute:
            self._fail("ended without an answer")
        peak = max(self._peak, int(self._answer.get("peak", 0)))
        return Outcome(self._answer.get("result", {}), seconds, peak)

    def _listen(self) -> None:
        try:
            while self._control.fileno() >= 0:
                part = self._control.recv(1 << 16)
                self._buffer += part
                if not part:
                    self._control.close()
        except BlockingIOError:
            pass
        except OSError:
            self._control.close()
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "progress" in message:
                fraction, text = message["progress"]
                self.news = (fraction, text)
            else:
                self._answer |= message

    def _break_off(self, why: str) -> None:
        self._breach = why
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _fail(self, why: str) -> NoReturn:
        words = last_words(self._job.log, self._log_start)
        if "no space left on device" in f"{why} {words}".lower():
            why, words = "no space left on device", ""
        elif why == "killed by SIGKILL":
            why += ", perhaps because the machine ran out of memory"
        said = f" ({words})" if words and words not in why else ""
        text = " ".join(f"{self._name}: {why}{said}".split())
        log = keep_log(self._job.log, self._name) if self._job.keep_log else self._job.log
        raise ToolError(f"{text}; log: {log}")


def last_words(log: Path, start: int = 0) -> str:
    """The last line of a log, from byte ``start`` on, that says something: no stack frame, no blank."""
    try:
        with open(log, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - (1 << 14)))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    for line in reversed(text.splitlines()):
        plain = "".join(c for c in _COLOURS.sub("", line) if c.isprintable())
        if plain and not plain.startswith((" ", *_STACK_DUMP)) and any(c.isalpha() for c in plain):
            return plain.strip()[:300]
    return ""


def _members(group: int) -> tuple[int, ...]:
    """The processes of a process group."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == group:
                    members.append(int(entry.name))
    return tuple(members)
