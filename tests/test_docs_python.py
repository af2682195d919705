"""The Python of the guides: it imports from the public API alone, and every block of it is run."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mosaic_deploy
from mosaic_deploy import Request, deploy
from tests.artifact.tiny_artifact import write_artifact
from tests.conftest import HEIGHT, WIDTH, Tiny, write_split
from tests.gate.gate_models import write

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = (
    ROOT / "README.md",
    *sorted((DOCS / "tutorial").glob("*.md")),
    *sorted((DOCS / "how-to").rglob("*.md")),
    DOCS / "reference" / "python-api.md",
    DOCS / "explanation" / "architecture.md",
)
INSIDE = ("add-a-model.md", "add-a-pass.md")
"""Pages whose Python becomes a file of the package, and so imports from its rooms."""

_BLOCK = re.compile(r"^```python\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_ANY = re.compile(r"^```py", re.MULTILINE)
GELU = """c = Constant <value_float = 1.4142135> () one = Constant <value_float = 1.0> ()
    half = Constant <value_float = 0.5> ()
    a = Div (image, c) e = Erf (a) f = Add (e, one) h = Mul (image, f) y = Mul (h, half)"""


@dataclass(frozen=True)
class Block:
    """A fenced block of Python, and where it stands."""

    page: str
    number: int
    body: str

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


def blocks_of(page: Path, text: str) -> Iterator[Block]:
    """The page's blocks; one that the pattern misses, indented say, is an error."""
    found = list(_BLOCK.finditer(text))
    assert len(found) == len(_ANY.findall(text)), f"{page}: a Python block that no test would run"
    for number, match in enumerate(found):
        yield Block(page.name, number, match["body"])


BLOCKS = [block for page in PAGES for block in blocks_of(page, page.read_text(encoding="utf-8"))]


def foreign(block: Block) -> list[str]:
    """What a block imports from the package that is not public; for the package's own code, not there."""
    wrong = []
    for node in ast.walk(ast.parse(block.body)):
        if isinstance(node, ast.Import):
            wrong += [a.name for a in node.names if a.name.startswith("mosaic_deploy.")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mosaic_deploy":
            module = node.module or ""
            public = mosaic_deploy.__all__ if module == "mosaic_deploy" else []
            known = defined(module) if block.page in INSIDE else public
            wrong += [f"{module}.{alias.name}" for alias in node.names if alias.name not in known]
    return wrong


def defined(module: str) -> list[str]:
    """What a module of the package defines at its top, by its text: importing it may take PyTorch."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    names = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body if path.is_file() else []:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return names


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_it_imports_from_the_public_api_alone(block: Block) -> None:
    assert foreign(block) == []


def test_an_import_from_a_room_would_be_noticed() -> None:
    deep = "from mosaic_deploy.gate.api import check\nfrom mosaic_deploy import load_table\n"
    found = foreign(Block("check.md", 0, deep + "import mosaic_deploy.gate"))
    assert found == ["mosaic_deploy.gate.api.check", "mosaic_deploy.load_table", "mosaic_deploy.gate"]
    gone = Block("add-a-pass.md", 0, "from mosaic_deploy.graph.passes._pass import Pass, Fail\n")
    assert foreign(gone) == ["mosaic_deploy.graph.passes._pass.Fail"]
    with pytest.raises(AssertionError, match="no test would run"):
        list(blocks_of(Path("x.md"), "```python3\nimport os\n```\n"))


def _models(folder: Path, _tiny: Tiny) -> None:
    write(folder / "model.onnx", GELU)
    np.save(folder / "image.npy", np.zeros((1, 8, 16, 16), np.float32))


def _artifacts(folder: Path, _tiny: Tiny) -> None:
    for name in ("mosaic-cpu-w8a8", "mosaic-dsp-w8a8", "mosaic-cpu-fp32"):
        write_artifact(folder / "build" / name)
    Image.new("RGB", (70, 50), (9, 99, 200)).save(folder / "street.jpg")
    write_split(folder / "my_images" / "val", images=2, seed=2)
    (folder / "my_images" / "classes.txt").write_text("sky\nroad\ncar\n")


def _diffed(folder: Path, tiny: Tiny) -> None:
    write_split(folder / "my_images" / "val", images=2, seed=2)
    (folder / "my_images" / "classes.txt").write_text("sky\nroad\ncar\n")
    deploy(Request(model=str(tiny.card), targets=("ort-mobile",), out=folder / "out"))
    (made,) = (folder / "out").iterdir()
    (folder / "build").mkdir()
    made.rename(folder / "build" / "mosaic-ort-mobile-w8a8")


def _nothing(_folder: Path, _tiny: Tiny) -> None:
    """The block brings or builds what it needs."""


def _built(target: str, recipe: str) -> Callable[[Path, Tiny], None]:
    """Build the tiny network for a target; the files lie where the block runs."""

    def build(folder: Path, tiny: Tiny) -> None:
        request = Request(model=str(tiny.card), targets=(target,), out=folder / "build", recipe=recipe)
        (report,) = deploy(request)
        assert report.passed
        for path in (folder / "build" / f"tiny-{target}-{recipe}").iterdir():
            path.rename(folder / path.name)
        if target == "edgetpu":
            (folder / "model.tflite").rename(folder / "model_edgetpu.tflite")

    return build


_PIXELS = f"import numpy as np\npixels = np.full(({HEIGHT}, {WIDTH}, 3), 99, np.uint8)\n"
_NO_CORAL = """
import ai_edge_litert.interpreter as _litert
_real = _litert.Interpreter
_litert.load_delegate = lambda library: library
_litert.Interpreter = lambda path, experimental_delegates: _real(path)
"""
"""Nobody here has an Edge TPU: the same calls, on the CPU's interpreter."""

SCENES: dict[str, tuple[Callable[[Path, Tiny], None], str]] = {
    "add-a-model.md": (_nothing, ""),
    "add-a-pass.md": (_nothing, ""),
    "architecture.md": (_nothing, ""),
    "bench.md": (_artifacts, ""),
    "calibrate.md": (_nothing, ""),
    "check.md": (_models, ""),
    "ci-gate.md": (_nothing, ""),
    "cpu.md": (_built("cpu", "w8a8"), _PIXELS),
    "edgetpu.md": (_built("edgetpu", "int8"), _PIXELS + _NO_CORAL),
    "find-a-preprocessing-mistake.md": (_artifacts, ""),
    "find-where-two-runtimes-part.md": (_diffed, ""),
    "fix.md": (_models, ""),
    "openvino.md": (
        _built("openvino", "int8"),
        f"import numpy as np\nimage = np.zeros((1, 3, {HEIGHT}, {WIDTH}), np.float32)\n",
    ),
    "own-model.md": (_nothing, "from torch import nn\nnet = nn.Conv2d(3, 3, 1)\n"),
    "python-api.md": (_models, ""),
    "run.md": (_artifacts, ""),
    "validate-an-artifact.md": (_artifacts, ""),
}
"""What each page supposes to be there: files, and names of the reader's own."""


def run(block: Block, folder: Path, tiny: Tiny) -> subprocess.CompletedProcess[str]:
    """Run a block as a program of its own in a folder with the files that its page supposes."""
    prepare, names = SCENES[block.page]
    prepare(folder, tiny)
    program = folder / "block.py"
    head = "" if "__future__" in block.body else names
    program.write_text(head + block.body, encoding="utf-8")
    return subprocess.run(
        [sys.executable, program.name],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_it_runs(block: Block, tiny: Tiny, tmp_path: Path) -> None:
    done = run(block, tmp_path, tiny)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_block_that_is_wrong_fails(tiny: Tiny, tmp_path: Path) -> None:
    wrong = Block("check.md", 0, "from mosaic_deploy import check\ncheck('model.onnx', target='dps')\n")
    done = run(wrong, tmp_path, tiny)
    assert done.returncode == 1
    assert "did you mean 'dsp'" in done.stderr
