import errno
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from mosaic_deploy.errors import ToolError, UsageError
from mosaic_deploy.files import moved_in, moved_in_folder, remove_leftovers, scratch_folder, write_whole


def names(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def test_a_finished_folder_is_moved_into_place(tmp_path: Path) -> None:
    place = tmp_path / "out" / "mosaic-dsp"
    with moved_in_folder(place, force=False) as folder:
        assert folder.parent == place.parent
        assert not place.exists()
        (folder / "a.bin").write_bytes(b"abc")
    assert names(tmp_path) == {"out", "out/mosaic-dsp", "out/mosaic-dsp/a.bin"}


@pytest.mark.parametrize("stop", [ToolError("broke"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
def test_nothing_is_left_of_a_stopped_build(tmp_path: Path, stop: BaseException) -> None:
    with pytest.raises(type(stop)), moved_in_folder(tmp_path / "out" / "x", force=False) as folder:
        (folder / "half").write_bytes(b"half")
        raise stop
    assert names(tmp_path) == set()


def test_nothing_is_replaced_without_force(tmp_path: Path) -> None:
    place = tmp_path / "x"
    place.mkdir()
    (place / "old").touch()
    with pytest.raises(UsageError, match="--force"), moved_in_folder(place, force=False):
        pytest.fail("the block ran")
    with moved_in_folder(place, force=True) as folder:
        (folder / "new").touch()
    assert names(tmp_path) == {"x", "x/new"}


def test_a_failed_rebuild_keeps_the_old_artifact(tmp_path: Path) -> None:
    place = tmp_path / "x"
    place.mkdir()
    (place / "old").touch()
    with pytest.raises(ToolError), moved_in_folder(place, force=True):
        raise ToolError("broke")
    assert names(tmp_path) == {"x", "x/old"}


def test_what_a_killed_build_left_is_taken_over(tmp_path: Path) -> None:
    left = tmp_path / ".x.part"
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "junk").touch()
    with moved_in_folder(tmp_path / "x", force=False) as folder:
        assert names(folder) == set()
    assert names(tmp_path) == {"x"}


def hold(place: Path, ready: str, go: str) -> None:
    with moved_in_folder(place, force=False) as folder:
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
        with pytest.raises(UsageError, match="another process"), moved_in_folder(place, force=True):
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
        moved_in_folder(tmp_path / "x", force=False) as folder,
    ):
        (folder / "half").touch()
        raise OSError(code, os.strerror(code))
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == set()


def test_an_out_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with (
        pytest.raises(UsageError, match="cannot be created"),
        moved_in_folder(tmp_path / "out" / "x", force=False),
    ):
        pytest.fail("the block ran")


def test_files_appear_together(tmp_path: Path) -> None:
    places = (tmp_path / "a.png", tmp_path / "b.txt")
    with moved_in(*places) as parts:
        assert [part.suffix for part in parts] == [".png", ".txt"]
        for part in parts:
            part.write_text(part.name)
        assert not any(place.exists() for place in places)
    assert names(tmp_path) == {"a.png", "b.txt"}


@pytest.mark.parametrize("stop", [ToolError("broke"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
def test_a_stopped_file_leaves_the_old_one(tmp_path: Path, stop: BaseException) -> None:
    place = tmp_path / "a.txt"
    place.write_text("old")
    with pytest.raises(type(stop)), moved_in(place) as (part,):
        part.write_text("half")
        raise stop
    assert names(tmp_path) == {"a.txt"}
    assert place.read_text() == "old"


def test_a_file_that_cannot_be_moved_in_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_whole(tmp_path / "taken", "text")
    assert names(tmp_path) == {"taken"}


def hold_scratch(folder: Path, ready: str) -> None:
    with scratch_folder(folder), moved_in_folder(folder / "x", force=False) as part:
        (part / "scratch").mkdir()
        (part / "logs").mkdir()
        Path(ready).touch()
        signal.pause()


def test_leftovers_go_once_their_process_is_dead_and_not_before(tmp_path: Path) -> None:
    out, ready = tmp_path / "out", tmp_path / "ready"
    out.mkdir()
    other = multiprocessing.get_context("spawn").Process(target=hold_scratch, args=(out, str(ready)))
    other.start()
    try:
        while not ready.exists():
            assert other.is_alive()
        held = sorted(out.iterdir())
        assert len(held) == 2
        assert remove_leftovers(out) == ()
        assert sorted(out.iterdir()) == held
    finally:
        other.kill()
        other.join(20)
    assert sorted(out.iterdir()) == held, "nobody could clean up"
    with scratch_folder(out) as folder:
        assert sorted(out.iterdir()) == [folder]
    assert list(out.iterdir()) == []


def test_hidden_folders_of_others_stay(tmp_path: Path) -> None:
    for name in (".mosaic-notes/logs", ".mosaic-abcd1234/thesis", ".film.part/data", ".git/logs", ".x.old/a"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".mosaic-link1234").symlink_to(tmp_path / ".git")
    before = names(tmp_path)
    assert remove_leftovers(tmp_path) == ()
    assert names(tmp_path) == before


def test_an_artifact_whose_replacement_never_arrived_comes_back(tmp_path: Path) -> None:
    for place in ("lost", "there"):
        (tmp_path / f".{place}.old").mkdir()
        (tmp_path / f".{place}.old" / "manifest.json").write_text("old")
    (tmp_path / "there").mkdir()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == {"lost", "lost/manifest.json", "there"}


def test_what_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="exists already"),
        moved_in_folder(tmp_path / "x", force=False) as part,
    ):
        (part / "new").touch()
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "mine").touch()
    assert names(tmp_path) == {"x", "x/mine"}
