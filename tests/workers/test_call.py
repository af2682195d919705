"""Each failure that ``tools`` promises to survive really happens here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.workers.call import GIB, Call, call, call_all, run_program
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject
from tests.workers import jobs_that_fail

MakeCall = Callable[..., Call]


@pytest.fixture
def make(tmp_path: Path) -> MakeCall:
    """Return a maker of calls into ``jobs_that_fail``."""

    def make_call(name: str, *, timeout_s: float = 30, memory_bytes: int = 1 << 30, **request: Any) -> Call:
        return Call(
            getattr(jobs_that_fail, name),
            request,
            timeout_s,
            memory_bytes,
            tmp_path / "logs" / f"{name}.log",
            tmp_path / "scratch",
            {"OMP_NUM_THREADS": "1"},
        )

    return make_call


def one_line(error: pytest.ExceptionInfo[ToolError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie that nobody reaps has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def test_answer_progress_log_and_surroundings(make: MakeCall, monkeypatch: Any) -> None:
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "1")
    job = make("echo", word="hé")
    news: list[tuple[float, str]] = []
    outcome = call(job, on_progress=lambda share, text: news.append((share, text)))
    assert outcome.result["heard"] == {"word": "hé"}
    assert outcome.result["cwd"] == str(job.cwd)
    assert outcome.result["environment"]["OMP_NUM_THREADS"] == "1"
    assert outcome.result["environment"]["TMPDIR"] == str(job.cwd)
    assert "SECRET_OF_THE_PARENT" not in outcome.result["environment"]
    assert news[-1] == (0.75, "answering")
    assert "to standard output\nto standard error" in job.log.read_text()
    assert 0 < outcome.seconds < 30
    assert 5 << 20 < outcome.peak_bytes < 1 << 30


def test_our_own_error_keeps_class_and_words(make: MakeCall) -> None:
    with pytest.raises(ModelError, match=r"^net.onnx: node 'Erf_3' is not for this machine$"):
        call(make("says_no"))


@pytest.mark.parametrize(
    ("name", "request_", "why"),
    [
        pytest.param("raises", {}, "raises: RuntimeError: first line (", id="exception"),
        pytest.param(
            "raises",
            {"text": "[E] No space left on device"},
            "raises: no space left on device; log",
            id="disk",
        ),
        pytest.param("fills_the_disk", {}, "fills_the_disk: no space left on device; log", id="enospc"),
        pytest.param(
            "segfault", {}, "segfault: killed by SIGSEGV (finalizing the graph); log", id="segfault"
        ),
        pytest.param("aborts", {}, "aborts: killed by SIGABRT; log", id="abort"),
        pytest.param("leaves", {"status": 7}, "leaves: ended with status 7; log", id="status"),
        pytest.param("leaves", {"status": 0}, "leaves: ended without an answer; log", id="silent"),
        pytest.param("no_json", {}, "no_json: the answer is not JSON", id="no-json"),
    ],
)
def test_failures_become_one_line(make: MakeCall, name: str, request_: dict[str, Any], why: str) -> None:
    job = make(name, **request_)
    with pytest.raises(ToolError) as error:
        call(job)
    assert one_line(error).startswith(why)
    kept = Path(one_line(error).rpartition("log: ")[2])
    assert kept != job.log
    assert kept.read_bytes() == job.log.read_bytes()


def test_a_hang_is_ended_with_all_it_started(make: MakeCall, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(ToolError) as error:
        call(make("hangs", timeout_s=2, pids=str(pids)))
    assert "ran longer than 2 s" in one_line(error)
    assert wait_for(lambda: all(gone(int(p)) for p in pids.read_text().split()), 2)


def test_a_memory_hog_is_ended(make: MakeCall) -> None:
    with pytest.raises(ToolError) as error:
        call(make("hogs", memory_bytes=GIB // 4))
    assert "needed more than 0.2 GiB" in one_line(error)


def test_a_short_peak_of_memory_is_seen(make: MakeCall) -> None:
    small, large = (call(make("holds", size_bytes=size)).peak_bytes for size in (1 << 20, 200 << 20))
    assert 190 << 20 < large - small < 210 << 20


def test_calls_side_by_side_keep_their_order(make: MakeCall) -> None:
    jobs = [make("echo", number=n, nap_s=0.3 * (3 - n)) for n in range(4)]
    shares: list[float] = []
    outcomes = call_all(jobs, parallel=2, on_progress=lambda share, _: shares.append(share))
    assert [o.result["heard"]["number"] for o in outcomes] == [0, 1, 2, 3]
    assert max(shares) <= 1
    assert shares == sorted(shares)
    assert call_all([], parallel=2) == ()


def test_one_failure_ends_the_others(make: MakeCall, tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def wait_for_the_hanging_one(share: float, text: str) -> None:
        assert wait_for(pids.exists, 20)

    jobs = [make("hangs", pids=str(pids)), make("echo"), make("segfault")]
    with pytest.raises(ToolError, match="SIGSEGV"):
        call_all(jobs, parallel=2, on_progress=wait_for_the_hanging_one)
    assert wait_for(lambda: all(gone(int(p)) for p in pids.read_text().split()), 2)


def test_a_child_takes_functions_that_it_can_find(tmp_path: Path) -> None:
    def inner(request: JsonObject, on_progress: OnProgress) -> JsonObject:
        return {}

    with pytest.raises(TypeError, match="inner is not a function of a module's top level"):
        Call(inner, {}, 30, GIB, tmp_path / "log", tmp_path)


def test_a_request_is_frozen_when_the_call_is_made(tmp_path: Path) -> None:
    request = {"paths": ["a"]}
    job = Call(jobs_that_fail.hangs, request, 30, GIB, tmp_path / "log", tmp_path)
    request["paths"].append("b")
    assert dict(job.request) == {"paths": ["a"]}
    with pytest.raises(TypeError, match="not JSON serializable"):
        Call(jobs_that_fail.hangs, {"path": tmp_path}, 30, GIB, tmp_path / "log", tmp_path)


PARENT = """
import sys
from pathlib import Path
from mosaic_deploy.workers.call import Call, call_all
from tests.workers.jobs_that_fail import hangs
root = Path(sys.argv[1])
jobs = [
    Call(hangs, {"pids": str(file)}, 60, 1 << 30, root / "log", root / "cwd")
    for file in (root / "pids0", root / "pids1")
]
try:
    call_all(jobs, parallel=2)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [
        pytest.param(signal.SIGINT, True, id="ctrl-c"),
        pytest.param(signal.SIGKILL, False, id="killed"),
        pytest.param(signal.SIGTERM, False, id="terminated"),
    ],
)
def test_children_end_with_their_parent(tmp_path: Path, number: signal.Signals, whole_group: bool) -> None:
    path = os.pathsep.join(filter(None, sys.path))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], env=os.environ | {"PYTHONPATH": path}
    )
    files = [tmp_path / "pids0", tmp_path / "pids1"]
    assert wait_for(lambda: all(f.exists() for f in files), 30)
    pids = [[int(p) for p in f.read_text().split()] for f in files]
    os.kill(parent.pid, number)
    watched = [p for pair in pids for p in (pair if whole_group else pair[:1])]
    try:
        assert wait_for(lambda: all(gone(p) for p in watched), 2)
        assert parent.wait(2) == (130 if number == signal.SIGINT else -number)
    finally:
        for pair in pids:
            for pid in pair:
                if not gone(pid):
                    os.kill(pid, signal.SIGKILL)


def test_program(tmp_path: Path) -> None:
    log = tmp_path / "log"
    outcome = run_program(["echo", "hello"], timeout_s=10, log=log, cwd=tmp_path)
    assert outcome.result == {}
    assert log.read_text() == "hello\n"
    argv = ["sh", "-c", "echo broken pipe dream; exit 3"]
    with pytest.raises(ToolError, match=r"^sh: ended with status 3 \(broken pipe dream\); log: "):
        run_program(argv, timeout_s=10, log=log, cwd=tmp_path)
    with pytest.raises(ToolError, match="cannot start 'no-such-program': No such file"):
        run_program(["no-such-program"], timeout_s=10, log=log, cwd=tmp_path)


def test_a_log_that_cannot_be_written(make: MakeCall, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    with pytest.raises(ToolError, match="cannot start: File exists"):
        call(make("echo"))
