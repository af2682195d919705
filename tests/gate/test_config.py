from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from mosaic_deploy.errors import SpecError, UsageError
from mosaic_deploy.gate.config import FILE, find_config, read_config

FULL = """
schema = 1
models = ["nets/**/*.onnx"]
targets = ["dsp"]
max_fallback_macs = 0.05

[[waiver]]
op = "Erf"
node = "head/*"
reason = "goes with the new head"
expires = 2026-12-31
targets = ["dsp"]
models = ["nets/old/*"]
"""
WAIVER = '[[waiver]]\nop = "Erf"\nnode = "*"\nreason = "r"\nexpires = 2026-12-31\n'


def config(folder: Path, text: str) -> Path:
    path = folder / FILE
    path.write_text(text, encoding="utf-8")
    return path


def test_a_full_file(tmp_path: Path) -> None:
    found = read_config(config(tmp_path, FULL))
    (waiver,) = found.waiver
    assert (found.targets, found.max_fallback_macs) == (("dsp",), 0.05)
    assert waiver.expires == date(2026, 12, 31)
    assert waiver.covers("head/erf", "Erf")
    assert not waiver.covers("neck/erf", "Erf")
    assert waiver.applies("dsp", "nets/old/a.onnx")
    assert not waiver.applies("cpu", "nets/old/a.onnx")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("models = []", "'schema' is missing", id="no-schema"),
        pytest.param("schema = 1\nmodel = []", "unknown key 'model' (did you mean 'models'?)", id="key"),
        pytest.param("schema = 1\n" + WAIVER + "expiry = 1", "(did you mean 'expires'?)", id="waiver-key"),
        pytest.param("schema = 1\n" + WAIVER.replace("expires", "#"), "expires' is missing", id="forever"),
        pytest.param("schema = 1\n" + WAIVER.replace('"r"', '" "'), "must not be empty", id="no-reason"),
        pytest.param("schema = 1\n" + WAIVER.replace("2026-12-31", '"soon"'), "date", id="no-date"),
        pytest.param('schema = 1\ntargets = ["dps"]', "did you mean 'dsp'", id="target"),
        pytest.param(
            "schema = 1\n" + WAIVER + 'targets = ["gpus"]', "did you mean 'gpu'", id="waiver-target"
        ),
        pytest.param("schema = 1\nmax_fallback_macs = 5", "less than or equal to 1", id="share"),
        pytest.param('schema = 1\nmodels = ["../*.onnx"]', "no '..'", id="above"),
        pytest.param('schema = 1\nmodels = ["/etc/*"]', "no absolute path", id="absolute"),
        pytest.param("schema = 1\n[[waiver", "not valid TOML", id="toml"),
    ],
)
def test_mistakes_are_named(text: str, says: str, tmp_path: Path) -> None:
    path = config(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        read_config(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_models_are_found_once_and_sorted(tmp_path: Path) -> None:
    for name in ("nets/b.onnx", "nets/deep/a.onnx", "other.onnx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = read_config(config(tmp_path, 'schema = 1\nmodels = ["nets/**/*.onnx", "nets/b.onnx"]'))
    names = [path.relative_to(tmp_path).as_posix() for path in found.find_models(tmp_path)]
    assert names == ["nets/b.onnx", "nets/deep/a.onnx"]


def test_a_pattern_that_names_nothing_is_refused(tmp_path: Path) -> None:
    found = read_config(config(tmp_path, 'schema = 1\nmodels = ["nest/*.onnx"]'))
    with pytest.raises(UsageError, match="names no file"):
        found.find_models(tmp_path)


def test_the_config_is_found_up_to_the_repository_and_no_further(tmp_path: Path) -> None:
    path = config(tmp_path, "schema = 1")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert find_config(inner) == path
    (tmp_path / "a" / ".git").mkdir()
    assert find_config(inner) is None
