"""The reference network's graph, for whoever judges a whole network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_EXPORT = """
import sys
from pathlib import Path
from mosaic_deploy.zoo import build_network
from mosaic_deploy.zoo.export import export

export(build_network("mosaic", classes=11), Path(sys.argv[1]), height=256, width=256)
"""


@pytest.fixture(scope="session")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MOSAIC's graph at 256x256, exported in a process of its own so that PyTorch stays out of this one."""
    path = tmp_path_factory.mktemp("mosaic") / "mosaic.onnx"
    subprocess.run([sys.executable, "-c", _EXPORT, str(path)], check=True, timeout=300)
    return path
