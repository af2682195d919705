from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mosaic_deploy.artifact.open import open_artifact, workspace
from mosaic_deploy.backends.registry import BACKENDS
from mosaic_deploy.errors import DataError, ModelError, ToolError
from tests.artifact.tiny_artifact import CONTRACT, FakeBackend, edit, write_artifact


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write_artifact(tmp_path / "tiny-echo-w8a8")


def refused(place: Path, *says: str) -> None:
    with pytest.raises(ModelError) as caught:
        open_artifact(place)
    text = str(caught.value)
    assert "\n" not in text
    for word in (str(place), *says):
        assert word in text


def test_an_artifact_is_what_was_built(place: Path) -> None:
    opened = open_artifact(place)
    assert opened.contract == CONTRACT
    assert (opened.model, opened.target, opened.recipe, opened.backend) == ("tiny", "echo", "w8a8", "echo")
    assert [(f.path, f.kind, f.ships) for f in opened.built.files] == [("echo.onnx", "echo", True)]
    assert opened.built.facts["fault"] == "none"
    assert opened.size_bytes == (place / "echo.onnx").stat().st_size
    assert opened.float_onnx is not None
    assert opened.path(opened.float_onnx) == place / "model.onnx"


def test_a_changed_file_is_named(place: Path) -> None:
    path = place / "echo.onnx"
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(bytes(data))
    refused(place, "echo.onnx", "sha256 differs", "build the artifact again")


def test_a_changed_yardstick_is_named(place: Path) -> None:
    with (place / "model.onnx").open("ab") as file:
        file.write(b"x")
    refused(place, "model.onnx", "sha256 differs")


def test_a_missing_network_is_named(place: Path) -> None:
    (place / "echo.onnx").unlink()
    refused(place, "echo.onnx", "is missing")


def test_what_nothing_loads_may_be_left_out(place: Path) -> None:
    (place / "logs" / "echo.log").unlink()
    (place / "model.onnx").unlink()
    assert open_artifact(place).float_onnx is None


@pytest.mark.parametrize("kind", ["echo", "log", "float-onnx"])
@pytest.mark.parametrize(
    "path",
    ["../stranger", "logs/../../stranger", "/etc/passwd", "", "."],
    ids=["up", "deep", "root", "empty", "dot"],
)
def test_no_path_leads_out(place: Path, path: str, kind: str) -> None:
    (place.parent / "stranger").write_bytes(b"x")
    edit(place, "files", 1, "path", value=path)
    edit(place, "files", 1, "kind", value=kind)
    refused(place, "points outside the artifact's folder")


def test_no_link_leads_out(place: Path) -> None:
    os.rename(place / "echo.onnx", place.parent / "stranger")
    (place / "echo.onnx").symlink_to("../stranger")
    refused(place, "echo.onnx", "points outside")


def test_a_zero_byte_in_a_path(place: Path) -> None:
    edit(place, "files", 1, "path", value="echo\0.onnx")
    refused(place, "cannot be read")


@pytest.mark.parametrize("schema", [2, 0, "1", None, True, [1]], ids=repr)
def test_an_unknown_schema_says_what_next(place: Path, schema: object) -> None:
    edit(place, "schema", value=schema)
    refused(place, "schema is", "reads 1", "use the version that wrote it")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param("\udcff", id="no-utf8"),
    ],
)
def test_a_manifest_that_is_no_json(place: Path, text: str) -> None:
    (place / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    refused(place, "not JSON")


@pytest.mark.parametrize("value", [[], 1, "x"], ids=repr)
def test_a_manifest_that_is_no_object(place: Path, value: object) -> None:
    (place / "manifest.json").write_text(json.dumps(value))
    refused(place, "schema is None")


@pytest.mark.parametrize(
    ("keys", "value", "says"),
    [
        pytest.param(("files", 1, "sha256"), "xyz", "files.1.sha256", id="digest"),
        pytest.param(("files", 1, "bytes"), -1, "files.1.bytes", id="size"),
        pytest.param(("facts", "input"), None, "facts.input", id="facts"),
        pytest.param(("facts", "output", "scale"), "big", "facts.output.scale", id="scale"),
        pytest.param(("contract", "height"), 1, "contract.height", id="contract"),
        pytest.param(("contract", "strange"), 1, "contract.strange", id="unknown-key"),
        pytest.param(("contract", "mean"), [0, 0, 0], "contract was changed after the build", id="mean"),
        pytest.param(("contract", "digest"), None, "contract was changed after the build", id="no-digest"),
        pytest.param(("model",), "\x1b[2J", "model: ", id="escape"),
        pytest.param(("target", "backend"), "tflight", "did you mean 'tflite'", id="backend"),
    ],
)
def test_a_manifest_that_breaks_its_schema(
    place: Path, keys: tuple[str | int, ...], value: object, says: str
) -> None:
    edit(place, *keys, value=value)
    refused(place, "manifest.json", says)


def test_refused_operators_leave_no_network(place: Path) -> None:
    edit(place, "files", 1, "ships", value=False)
    edit(place, "facts", value={})
    refused(place, "holds no compiled network", "its operator check failed", "check.json")


@pytest.mark.parametrize("made", ["nothing", "file", "empty", "pipe"])
def test_what_is_no_artifact(tmp_path: Path, made: str) -> None:
    place = tmp_path / "x"
    if made == "file":
        place.write_text("")
    elif made != "nothing":
        place.mkdir()
    if made == "pipe":
        os.mkfifo(place / "manifest.json")
    refused(place, "'mosaic-deploy build' wrote")


def test_a_missing_runtime_is_a_missing_tool(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "fake", "tests.artifact.tiny_artifact")
    monkeypatch.setattr(FakeBackend, "missing", lambda _self: "pip install it")
    edit(place, "target", "backend", value="fake")
    with pytest.raises(ToolError, match="pip install it"):
        open_artifact(place).load_backend()


@pytest.mark.parametrize(
    ("error", "kept"),
    [(None, False), (DataError, False), (KeyboardInterrupt, False), (ToolError, True)],
    ids=str,
)
def test_only_a_failing_tool_leaves_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | None, kept: bool
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    try:
        with workspace() as space:
            (space.scratch / "large").write_text("x")
            (space.logs / "tool.log").write_text("it broke")
            if error is not None:
                raise error("x")
    except (DataError, ToolError, KeyboardInterrupt):
        pass
    left = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert [name.partition("/")[2] for name in left] == (["logs/tool.log"] if kept else [])


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolError, match="cannot be written \\(No space left"), workspace():
        raise OSError(28, "No space left on device")
