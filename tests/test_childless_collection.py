"""A test file that starts a process while it is collected is an error, whatever road it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import tiny_graph

ROOT = Path(__file__).resolve().parents[1]
ROADS = {
    "run": "import subprocess\nsubprocess.run(['true'])",
    "swallowed": "import subprocess\ntry:\n    subprocess.run(['true'])\nexcept Exception:\n    pass",
    "system": "import os\nos.system('true')",
    "fork": "import multiprocessing as m\nm.get_context('fork').Process(target=print).start()",
    "model": "from pathlib import Path\nfrom mosaic_deploy.graph.reader.read import read_model\n"
    "read_model(Path(__file__).with_name('model.onnx'))",
}  # fmt: skip


def test_a_process_at_import_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(tiny_graph().SerializeToString())
    for name, text in ROADS.items():
        (tmp_path / f"test_{name}.py").write_text(f"{text}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--co", "-p", "tests.conftest", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stdout
    refused = [line for line in done.stdout.splitlines() if line.startswith("E ") and "ChildError" in line]
    assert len(refused) == len(ROADS), done.stdout
    assert all(line.endswith("while tests are collected; start it in a test or fixture") for line in refused)
