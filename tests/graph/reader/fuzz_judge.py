"""Does a hostile model get a verdict or one clear error? Asked in a process that may die of it.

``Judge`` starts ``python -m tests.graph.reader.fuzz_judge``, which reads paths of models line by line
and answers with one JSON object per line; whoever asks watches its memory and its time."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import select
import subprocess
import sys
import sysconfig
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    import onnx

SECONDS = 10.0
"""Most processor time that a model may take, children included: its wall time on an idle machine."""

BYTES = 1 << 30
"""Most resident memory of the process and its children together."""

PATIENCE_S = 60.0
"""Longest that an answer is waited for."""

CHARACTERS = 500
_FRESH_BYTES = 400 << 20  # a judge that keeps more is replaced, so that it does not count for the next
_IN_ACCESS_OPEN = 0x1 | 0x20
_IN_NONBLOCK = 0o4000


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of one model."""

    outcome: str
    """``verdict``, ``error`` or ``violation``."""
    text: str
    """The error's line, or what was violated."""
    seconds: float
    """Processor time."""
    peak_bytes: int


@final
class Judge:
    """A process that reads and checks models, replaced when it dies."""

    def __init__(
        self,
        root: Path,
        *,
        reader: str = "mosaic_deploy.graph.ends.ends:read_deployed",
        fixes: bool = False,
    ) -> None:
        """Start none yet; ``root`` holds its temporary files and gets ``judge.log``.

        With ``fixes`` every pass is tried as well, as ``check --fix`` does before it runs anything.
        """
        self._root, self._reader, self._fixes = root, reader, fixes
        self._process: subprocess.Popen[bytes] | None = None

    def judge(self, model: Path) -> Judgement:
        """Read and check a model that ``fuzz_models.write`` laid down."""
        process = self._process or self._begin()
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        begun, peak, line = time.monotonic(), 0, b""
        _forget_peak(process.pid)
        process.stdin.write(f"{model}\n".encode())
        process.stdin.flush()
        while not line:
            if select.select([process.stdout], [], [], 0.05)[0]:
                line = process.stdout.readline()
                if not line:
                    return self._died(begun)
            else:
                peak = max(peak, _resident(process.pid))
                if time.monotonic() - begun > PATIENCE_S:
                    self.close()
                    return Judgement("violation", f"hangs for {PATIENCE_S:g} s", PATIENCE_S, peak)
        answer = json.loads(line)
        peak = max(peak, _status(process.pid, "VmHWM:"))
        if _status(process.pid, "VmRSS:") > _FRESH_BYTES:
            self.close()
        return _ruled(Judgement(answer["outcome"], answer["text"], answer["seconds"], peak))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()
            self._process = None

    def _begin(self) -> subprocess.Popen[bytes]:
        scratch = self._root / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        with open(self._root / "judge.log", "ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.graph.reader.fuzz_judge",
                    str(self._root),
                    self._reader,
                    *(["--fix"] if self._fixes else []),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=Path(__file__).parents[3],
                env={**os.environ, "TMPDIR": str(scratch), "XDG_CACHE_HOME": str(self._root / "home")},
            )
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def _died(self, begun: float) -> Judgement:
        assert self._process is not None
        status = self._process.wait()
        self.close()
        return Judgement("violation", f"dies with status {status}", time.monotonic() - begun, 0)


def _ruled(found: Judgement) -> Judgement:
    """Turn an answer that came too late or took too much into a violation."""
    if found.outcome == "violation":
        return found
    if found.seconds > SECONDS:
        return Judgement("violation", f"takes {found.seconds:.1f} s", found.seconds, found.peak_bytes)
    if found.peak_bytes > BYTES:
        text = f"takes {found.peak_bytes >> 20} MiB"
        return Judgement("violation", text, found.seconds, found.peak_bytes)
    return found


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _resident(pid: int) -> int:
    """Memory of a process and its children now."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return _status(pid, "VmRSS:") + sum(_status(int(child), "VmRSS:") for child in children)


def _status(pid: int, field: str) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


@final
class _Watch:
    """Hears of files that are opened outside the model's folder, by Python here and by anyone in ``root``."""

    def __init__(self, root: Path) -> None:
        self.active = False
        self.opened: list[str] = []
        own = (sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), str(Path(__file__).parents[3]))
        fine = (*own, str(root / "home"), str(root / "scratch"), "/proc/", os.devnull)
        self._fine = tuple(str(Path(path)) for path in fine)
        libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = libc.inotify_init1(_IN_NONBLOCK)
        added = libc.inotify_add_watch(self._inotify, os.fsencode(root / "secret.bin"), _IN_ACCESS_OPEN)
        assert self._inotify >= 0
        assert added >= 0
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.active and event == "open" and isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith(self._fine):
                self.opened.append(path)

    def ended(self) -> list[str]:
        """Stop; returns what was opened."""
        self.active = False
        try:
            if os.read(self._inotify, 1 << 16):
                self.opened.append("secret.bin, seen by inotify")
        except BlockingIOError:
            pass
        opened, self.opened = self.opened, []
        return opened


def _examine(model: Path, reader: Callable[[Path], onnx.ModelProto], *, fixes: bool) -> tuple[str, str]:
    """Read and check a model at two precisions, and fix it; returns the outcome and its text."""
    from mosaic_deploy.errors import ModelError, MosaicError
    from mosaic_deploy.gate.fix.fix import fix
    from mosaic_deploy.gate.op_support.judge import check
    from mosaic_deploy.gate.op_support.load import load_table

    table = load_table("qnn-htp")
    try:
        read = reader(model)
        said = []
        for precision in ("float", "w8a8"):
            report = check(read, table=table, precision=precision)
            json.dumps(report.to_json())
            said.append(f"{report.nodes} nodes, {len(report.violations)} violations")
        if fixes:
            said.append(f"{len(fix(read, table=table, precision='w8a8')[1].steps)} passes")
    except MosaicError as err:
        line = str(err)
        if not line.isprintable() or not 0 < len(line) <= CHARACTERS:
            return "violation", f"an error of {len(line)} characters: {line[:200]!r}"
        return (
            ("error", line) if isinstance(err, ModelError) else ("violation", f"{type(err).__name__}: {line}")
        )
    except BaseException as err:  # noqa: BLE001  # that is the question
        traceback.print_exc()
        frames = traceback.extract_tb(err.__traceback__)
        place = next((f for f in reversed(frames) if "mosaic_deploy" in f.filename), frames[-1])
        where = f"{Path(place.filename).name}:{place.lineno}"
        return "violation", f"{type(err).__name__} at {where}: {err!s:.200}"
    return "verdict", "; ".join(said)


def main(root: Path, place: str, *, fixes: bool) -> None:
    """Answer as the module's docstring says; ``place`` is ``module:function`` of what reads models."""
    module, _, name = place.partition(":")
    reader = getattr(importlib.import_module(module), name)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints must not look like an answer
    (root / "secret.bin").touch()
    watch = _Watch(root)
    _examine(root / "nothing.onnx", reader, fixes=fixes)  # imports everything, and opens the table
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        watch.active, begun = True, sum(os.times()[:4])
        outcome, text = _examine(Path(line.rstrip("\n")), reader, fixes=fixes)
        seconds, opened = sum(os.times()[:4]) - begun, watch.ended()
        if opened:
            outcome, text = "violation", f"opens {', '.join(opened)[:300]}"
        answer = {"outcome": outcome, "text": text, "seconds": seconds}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], fixes="--fix" in sys.argv[3:])
