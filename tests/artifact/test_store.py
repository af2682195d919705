import errno
import json
import multiprocessing
import os
from pathlib import Path

import pytest

from mosaic_deploy.artifact.store import entries, staged, write_json
from mosaic_deploy.backends.protocol import File
from mosaic_deploy.errors import ToolError, UsageError


def names(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def test_a_finished_folder_is_moved_into_place(tmp_path: Path) -> None:
    place = tmp_path / "out" / "mosaic-dsp"
    with staged(place, force=False) as folder:
        assert folder.parent == place.parent
        assert not place.exists()
        (folder / "a.bin").write_bytes(b"abc")
    assert names(tmp_path) == {"out", "out/mosaic-dsp", "out/mosaic-dsp/a.bin"}


@pytest.mark.parametrize("stop", [ToolError("broke"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
def test_nothing_is_left_of_a_stopped_build(tmp_path: Path, stop: BaseException) -> None:
    with pytest.raises(type(stop)), staged(tmp_path / "out" / "x", force=False) as folder:
        (folder / "half").write_bytes(b"half")
        raise stop
    assert names(tmp_path) == set()


def test_nothing_is_replaced_without_force(tmp_path: Path) -> None:
    place = tmp_path / "x"
    place.mkdir()
    (place / "old").touch()
    with pytest.raises(UsageError, match="--force"), staged(place, force=False):
        pytest.fail("the block ran")
    with staged(place, force=True) as folder:
        (folder / "new").touch()
    assert names(tmp_path) == {"x", "x/new"}


def test_a_failed_rebuild_keeps_the_old_artifact(tmp_path: Path) -> None:
    place = tmp_path / "x"
    place.mkdir()
    (place / "old").touch()
    with pytest.raises(ToolError), staged(place, force=True):
        raise ToolError("broke")
    assert names(tmp_path) == {"x", "x/old"}


def test_what_a_killed_build_left_is_taken_over(tmp_path: Path) -> None:
    left = tmp_path / ".x.part"
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "junk").touch()
    with staged(tmp_path / "x", force=False) as folder:
        assert names(folder) == set()
    assert names(tmp_path) == {"x"}


def hold(place: Path, ready: str, go: str) -> None:
    with staged(place, force=False) as folder:
        (folder / "mine").touch()
        Path(ready).touch()
        while not Path(go).exists():
            pass


def test_a_second_build_at_once_is_refused(tmp_path: Path) -> None:
    place, ready, go = tmp_path / "x", tmp_path / "ready", tmp_path / "go"
    other = multiprocessing.get_context("spawn").Process(target=hold, args=(place, str(ready), str(go)))
    other.start()
    try:
        while not ready.exists():
            assert other.is_alive()
        with pytest.raises(UsageError, match="another build"), staged(place, force=True):
            pytest.fail("the block ran")
        assert (tmp_path / ".x.part" / "mine").exists()
    finally:
        go.touch()
        other.join(20)
    assert other.exitcode == 0
    assert names(place) == {"mine"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT], ids=["disk", "quota"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, code: int) -> None:
    with (
        pytest.raises(ToolError, match="disk is full") as caught,
        staged(tmp_path / "x", force=False) as folder,
    ):
        (folder / "half").touch()
        raise OSError(code, os.strerror(code))
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == set()


def test_an_out_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with (
        pytest.raises(UsageError, match="cannot be made"),
        staged(tmp_path / "out" / "x", force=False),
    ):
        pytest.fail("the block ran")


def test_entries_state_size_and_hash(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    (entry,) = entries(tmp_path, [File("a.bin", "context-binary")])
    assert (entry.path, entry.kind, entry.bytes) == ("a.bin", "context-binary", 3)
    assert entry.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_json_refuses_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", {"x": float("nan")})
