"""LiteRT gives up waiting for a GPU after 20 s; networks and single operators may take longer."""

from __future__ import annotations

import time

import pytest

from mosaic_deploy.backends.litert.c_api import Handle, Runtime, StatusError


class Clock:
    """Of a GPU that is busy for so many waits of 20 s."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, busy: int, seconds: float) -> None:
        self.now, self.left, self.waited = 0.0, busy, list[Handle]()

        def wait(_runtime: Runtime, buffer: Handle) -> None:
            self.waited.append(buffer)
            self.now += seconds
            self.left -= 1
            if self.left >= 0:
                raise StatusError("LiteRtLockTensorBuffer: kLiteRtStatusErrorRuntimeFailure")

        monkeypatch.setattr(Runtime, "wait", wait)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def test_a_gpu_that_is_busy_for_a_minute_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, busy=3, seconds=20.0)
    gates = iter([Handle(place) for place in range(2, 9)])
    first = Handle(1)
    last = object.__new__(Runtime).finish(first, lambda: next(gates))
    assert [gate.value for gate in clock.waited] == [
        1,
        2,
        3,
        4,
    ]  # a buffer that was given up is not used again
    assert last.value == 4


def test_what_fails_at_once_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, busy=1, seconds=0.1)
    with pytest.raises(StatusError, match="RuntimeFailure"):
        object.__new__(Runtime).finish(Handle(1), lambda: Handle(2))
    assert len(clock.waited) == 1
