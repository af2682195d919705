"""No file starts a process while it is imported: every worker imports all of them, and pays for each."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import final

import pytest

_STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec")
"""Python's audit events of starting a process, by whatever road."""

_LOOKUP = "/sbin/ldconfig"  # which ctypes asks where a library lies when torch is imported


class ChildError(BaseException):
    """Raised where a process would start; unlike an ``Exception``, no library's ``except`` swallows it."""


@final
class _Guard:
    """An audit hook, which cannot be taken off again and so is told when to look."""

    collecting = False

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.collecting and event in _STARTS and _LOOKUP not in arguments:
            words = " ".join(f"{argument!r:.200}" for argument in arguments[:2])
            raise ChildError(
                f"{event} {words}: started while tests are collected; start it in a test or fixture"
            )


_GUARD = _Guard()
sys.addaudithook(_GUARD)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Refuse processes until every file is collected."""
    _GUARD.collecting = True
    try:
        return (yield)
    finally:
        _GUARD.collecting = False
