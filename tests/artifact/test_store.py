from __future__ import annotations

import json
from pathlib import Path

import pytest

from mosaic_deploy.artifact.store import entries, write_json
from mosaic_deploy.backends.protocol import File


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
