"""The C++ of ``integrate.md``, compiled and run against the golden sample."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.build.report import BuildReport
from mosaic_deploy.specs.contract import Contract
from tests.artifact.integrate.test_page import CASES, SAID, block, made
from tests.artifact.tiny_artifact import CONTRACT

GXX = shutil.which("g++")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(GXX is None, reason="no g++")]


@dataclass(frozen=True)
class Home:
    """Where the headers and the library of a runtime are."""

    variable: str
    """Of the environment: a folder with ``include`` and ``lib``, as the runtime's release for Linux has."""
    header: str
    library: str
    runs: bool = True
    """Whether the program runs here, or can only be compiled."""

    @property
    def folders(self) -> tuple[Path, Path] | None:
        """Of the headers and of the library; None where the header is not there."""
        root = Path(os.environ.get(self.variable, "/no/such/folder"))
        found = root / "include", root / "lib"
        if self.variable == "openvino":  # its package brings both
            spec = importlib.util.find_spec("openvino")
            assert spec is not None
            assert spec.origin is not None
            found = Path(spec.origin).parent / "include", Path(spec.origin).parent / "libs"
        return found if (found[0] / self.header).is_file() else None

    @property
    def missing(self) -> str:
        """Why it is skipped."""
        return (
            f"no package that is installed here brings {self.header}: set {self.variable} to a folder with "
            "include/ and lib/"
        )


HOMES = {
    "openvino": Home("openvino", "openvino/openvino.hpp", "libopenvino.so*"),
    "cpu": Home("MOSAIC_LITERT_CPP", "tensorflow/lite/c/c_api.h", "libtensorflowlite_c.so*"),
    "ort-mobile": Home("MOSAIC_ORT_CPP", "onnxruntime_cxx_api.h", "libonnxruntime.so*"),
    "dsp": Home("MOSAIC_ORT_CPP", "onnxruntime_cxx_api.h", "libonnxruntime.so*", runs=False),
}
"""Target -> what its program needs. ONNX Runtime's release for Linux has no QNN in it."""


def compiled(folder: Path, text: str, *more: str) -> None:
    (folder / "program.cpp").write_text(text)
    assert GXX is not None
    done = subprocess.run(
        [GXX, "-std=c++17", "-Wall", "-Werror", "program.cpp", "-o", "program", *more],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr


def said(folder: Path, library: Path | None = None) -> tuple[str, int]:
    """What the program says of itself, and its exit code."""
    environment = {**os.environ, **({} if library is None else {"LD_LIBRARY_PATH": str(library)})}
    ran = subprocess.run(
        ["./program"], cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    return ran.stdout.strip() or ran.stderr, ran.returncode


@pytest.mark.parametrize(("changes", "source", "result"), CASES)
def test_both_ends_in_cpp_too(
    tmp_path: Path, changes: dict[str, Any], source: dict[str, Any], result: dict[str, Any]
) -> None:
    contract = Contract.model_validate({**CONTRACT.model_dump(), **changes})
    folder = made(tmp_path / "a", contract, source, result)
    text = block(folder, "cpp").replace("#include <onnxruntime_cxx_api.h>", "")
    first, last = text.index("std::vector<Output> run("), text.index("int main()")
    recorded = 'std::vector<Output> run(std::vector<Input>&) { return load<Output>("golden/output.npy"); }\n'
    compiled(folder, text[:first] + recorded + text[last:])
    assert said(folder) == (SAID, 0)


@pytest.mark.parametrize("target", [pytest.param(name, id=name) for name in HOMES])
def test_the_whole_program_of_a_real_build(tmp_path: Path, target: str) -> None:
    home = HOMES[target]
    if home.folders is None:
        pytest.skip(home.missing)
    include, lib = home.folders
    options = {"arch": "75"} if target == "dsp" else {}
    request = Request(model="mosaic", targets=(target,), out=tmp_path, images=1)
    (report,) = deploy(replace(request, options=options))
    assert isinstance(report, BuildReport)
    folder = Path(report.folder)
    library = next(lib.glob(home.library))
    compiled(folder, block(folder, "cpp"), "-isystem", str(include), f"-L{lib}", f"-l:{library.name}")
    if home.runs:
        assert said(folder, lib) == (SAID, 0)
