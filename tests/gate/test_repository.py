from __future__ import annotations

from pathlib import Path

import pytest

from mosaic_deploy.gate.repository import Line, Repository, find_repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "out.py").touch()
    for name in ("repo/net/head.py", "repo/src/pkg/neck.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "repo" / "link.py").symlink_to(tmp_path / "out.py")
    (tmp_path / "repo" / ".git").mkdir()
    return find_repository(tmp_path / "repo" / "net")


def test_paths_are_named_from_the_top(repository: Repository, tmp_path: Path) -> None:
    assert repository.root == (tmp_path / "repo").resolve()
    assert repository.name(tmp_path / "repo" / "net" / "a.onnx") == "net/a.onnx"
    assert repository.name(tmp_path / "a.onnx") == (tmp_path / "a.onnx").resolve().as_posix()


@pytest.mark.parametrize(
    ("source", "line"),
    [
        pytest.param("net/head.py:12", Line("net/head.py", 12), id="relative"),
        pytest.param("pkg/neck.py:1", Line("src/pkg/neck.py", 1), id="below-src"),
        pytest.param("{root}/net/head.py:3", Line("net/head.py", 3), id="absolute"),
        pytest.param("net/../net/head.py:3", Line("net/head.py", 3), id="dots-inside"),
        pytest.param("../out.py:1", None, id="above"),
        pytest.param("link.py:1", None, id="link-out"),
        pytest.param("net/none.py:1", None, id="missing"),
        pytest.param("net:1", None, id="folder"),
        pytest.param("net/head.py:0", None, id="line-zero"),
        pytest.param("net/head.py:-1", None, id="negative"),
        pytest.param("net/head.py:²", None, id="no-ascii-digit"),
        pytest.param("net/head.py:99999999999", None, id="huge"),
        pytest.param("net/head.py", None, id="no-line"),
        pytest.param("a\0b:1", None, id="nul"),
        pytest.param("x" * 5000 + ":1", None, id="long"),
        pytest.param("", None, id="empty"),
    ],
)
def test_sources_are_lines_of_files_in_the_repository(
    source: str, line: Line | None, repository: Repository
) -> None:
    assert repository.line(source.replace("{root}", str(repository.root))) == line


def test_without_git_the_folder_itself_is_the_top(tmp_path: Path) -> None:
    assert find_repository(tmp_path).root == tmp_path.resolve()
