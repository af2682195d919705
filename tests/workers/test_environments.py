"""Environments are really made, by uv, out of a wheel that the test builds."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mosaic_deploy
from mosaic_deploy.errors import ToolError
from mosaic_deploy.workers import environments
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.environments import Environment, Pin, cache_folder, make, ready, remove_others

JOB = """
import importlib.util
import sys
import mosaic_deploy

def look(request, on_progress):
    return {
        "prefix": sys.prefix,
        "package": mosaic_deploy.__file__,
        "numpy": importlib.util.find_spec("numpy") is not None,
        "rogue": importlib.util.find_spec("rogue") is not None,
    }
"""
RECORDED = ("tiny_job.py", "tiny-1.0.dist-info/METADATA", "tiny-1.0.dist-info/WHEEL")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    """An environment of one package; uv sees no index, the cache is the test's."""
    links = tmp_path / "links"
    links.mkdir()
    wheel = links / "tiny-1.0-py3-none-any.whl"
    texts = (JOB, "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
             "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")  # fmt: skip
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in zip(RECORDED, texts, strict=True):
            archive.writestr(name, text)
        record = "".join(f"{name},,\n" for name in (*RECORDED, "tiny-1.0.dist-info/RECORD"))
        archive.writestr("tiny-1.0.dist-info/RECORD", record)
    monkeypatch.setenv("UV_FIND_LINKS", str(links))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(environments.NO_INSTALL, raising=False)
    source = tmp_path / "source"
    source.mkdir()
    (source / "tiny_job.py").write_text(JOB, encoding="utf-8")
    monkeypatch.syspath_prepend(str(source))
    data = wheel.read_bytes()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    pin = Pin("tiny", "1.0", hashlib.sha256(data).hexdigest(), len(data))
    yield Environment("tiny", "0123456789abcdef", version, (pin,), "a test", 10**6)
    sys.modules.pop("tiny_job", None)


def left() -> list[str]:
    """What lies in the cache, locks aside."""
    root = cache_folder()
    return sorted(p.name for p in root.iterdir() if p.suffix != ".lock") if root.is_dir() else []


def test_it_is_made_once_and_says_what_how_large_and_why(tiny: Environment) -> None:
    heard: list[tuple[float, str]] = []
    assert ready(tiny) is None
    python = make(tiny, on_progress=lambda fraction, text: heard.append((fraction, text)))
    assert python == cache_folder() / "tiny-0123456789ab" / "bin" / "python"
    assert heard[0] == (0.0, "toolchain tiny, a test: 0 MB to download, 1 MB on disk")
    assert heard[-1][0] == 1.0
    assert left() == ["tiny-0123456789ab"]
    heard.clear()
    assert make(tiny, on_progress=lambda fraction, text: heard.append((fraction, text))) == python
    assert ready(tiny) == python
    assert heard == []


def test_a_child_there_sees_that_environment_and_this_package_alone(
    tiny: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what lies in the user's folder, nor what PYTHONPATH names, nor what lies beside the package."""
    for folder in (tmp_path / "users", tmp_path / "named"):
        folder.mkdir()
        for name in ("rogue", "mosaic_deploy", "json"):
            (folder / f"{name}.py").write_text("raise SystemExit('a stranger was imported')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "named"))
    monkeypatch.chdir(tmp_path / "users")
    python = make(tiny)
    look = importlib.import_module("tiny_job").look
    job = Call(look, {}, 60, GIB, tmp_path / "log", tmp_path / "users", interpreter=python)
    found = call(job).result
    assert found == {
        "prefix": str(python.parents[1]),
        "package": mosaic_deploy.__file__,
        "numpy": False,
        "rogue": False,
    }


@pytest.mark.parametrize(
    ("pins", "says"),
    [
        pytest.param({"sha256": "0" * 64}, "uv cannot install it: .*ash", id="other-bytes"),
        pytest.param({"name": "absent"}, "uv cannot install it: .*absent", id="no-such-package"),
        pytest.param({"version": "2.0"}, "uv cannot install it: .*tiny==2.0", id="no-such-version"),
    ],
)
def test_what_cannot_be_installed_is_one_line_and_leaves_nothing(
    tiny: Environment, pins: dict[str, Any], says: str
) -> None:
    wrong = replace(tiny, pins=(replace(tiny.pins[0], **pins),))
    with pytest.raises(ToolError, match=rf"^{says}[^\n]*; when the network is back, run [^\n]+$"):
        make(wrong)
    assert left() == []


def test_installing_can_be_forbidden(tiny: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environments.NO_INSTALL, "1")
    with pytest.raises(ToolError, match=r"^toolchain tiny is not installed, .* doctor --install tiny$"):
        make(tiny)
    assert left() == []
    monkeypatch.delenv(environments.NO_INSTALL)
    python = make(tiny)
    monkeypatch.setenv(environments.NO_INSTALL, "1")
    assert make(tiny) == python


def test_no_uv_is_one_line(tiny: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        ToolError, match=r"^toolchain tiny is made with uv, which is missing: pip install uv$"
    ):
        make(tiny)
    assert left() == []


def test_a_folder_that_cannot_be_written_is_one_line(
    tiny: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "taken"))
    with pytest.raises(ToolError, match=r"^[^\n]*taken[^\n]*cannot be written[^\n]*$"):
        make(tiny)


def test_a_second_process_waits_for_the_first(tiny: Environment) -> None:
    cache_folder().mkdir(parents=True)
    heard: list[str] = []
    made: list[Path] = []
    with (cache_folder() / ".tiny-0123456789ab.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        other = threading.Thread(
            target=lambda: made.append(make(tiny, on_progress=lambda _, t: heard.append(t)))
        )
        other.start()
        end = time.monotonic() + 30
        while not any("waiting" in text for text in heard):
            assert time.monotonic() < end
            time.sleep(0.02)
        assert left() == []
    # The child dies with the thread that started it, so the thread is waited for.
    other.join(60)
    assert made == [ready(tiny)]


def test_what_a_killed_process_left_is_made_anew(tiny: Environment) -> None:
    part = cache_folder() / ".tiny-0123456789ab.part"
    whole = cache_folder() / "tiny-0123456789ab"
    for folder in (part, whole):
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").touch()
    assert ready(tiny) is None
    make(tiny)
    assert ready(tiny) is not None
    assert left() == ["tiny-0123456789ab"]


def test_what_nobody_needs_is_removed_but_not_what_is_being_made(tiny: Environment) -> None:
    make(tiny)
    for name in ("old-aaaaaaaaaaaa", ".half-bbbbbbbbbbbb.part", ".busy-cccccccccccc.part"):
        (cache_folder() / name).mkdir()
        (cache_folder() / name / "file").write_bytes(b"12345")
    with (cache_folder() / ".busy-cccccccccccc.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        removed = dict(remove_others({"tiny-0123456789ab"}))
    assert {path.name: size for path, size in removed.items()} == {
        "old-aaaaaaaaaaaa": 5,
        ".half-bbbbbbbbbbbb.part": 5,
    }
    assert left() == [".busy-cccccccccccc.part", "tiny-0123456789ab"]
