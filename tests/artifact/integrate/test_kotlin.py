"""The Kotlin of ``integrate.md``, compiled and run against the golden sample: both ends, without the runtime.

The runtimes' own packages for Android are in no registry that this project installs from, so the few lines
that call them are cut out here; what comes out of a network is in the golden sample.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from mosaic_deploy.specs.contract import Contract
from tests.artifact.integrate.test_page import CASES, block, made
from tests.artifact.tiny_artifact import CONTRACT

_PACKAGE = "run_kotlin_kernel"
_HEAD = """package {0}

import java.nio.ByteBuffer
import java.nio.ByteOrder

"""
_SELF_CHECK = """
fun load(path: String): ByteBuffer {
    val bytes = ByteBuffer.wrap(java.io.File(path).readBytes()).order(ByteOrder.LITTLE_ENDIAN)
    bytes.position(10 + bytes.getShort(8))
    return bytes.slice().order(ByteOrder.LITTLE_ENDIAN)
}

fun check(golden: String): String {
    val rgb = load("$golden/image.npy")
    val argb = IntArray(WIDTH * HEIGHT) { pixel ->
        (0 until 3).fold(0xff) { word, c -> (word shl 8) or (rgb.get(3 * pixel + c).toInt() and 0xff) }
    }
    val x = prepare(argb)
    x.rewind()
    if (x != load("$golden/input.npy")) return "prepare() makes another input"
    val ids = classes(load("$golden/output.npy"))
    val expected = load("$golden/classes.npy")
    return if (ByteBuffer.wrap(ids) == expected) "same" else "other classes"
}
"""


def jars() -> str | None:
    """The class path of a Kotlin compiler with its library; None where there is none."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.submodule_search_locations is None:
        return None
    return ":".join(
        str(path) for path in sorted(Path(found.submodule_search_locations[0]).glob("jars/*.jar"))
    )


JARS, JAVA = jars(), shutil.which("java")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(JARS is None, reason="no Kotlin compiler: 'uv sync --group kotlin' brings one"),
    pytest.mark.skipif(JAVA is None, reason="no Java, which the Kotlin compiler needs"),
]


def java(*words: str) -> subprocess.CompletedProcess[str]:
    assert JAVA is not None
    return subprocess.run([JAVA, "-Xmx1g", *words], capture_output=True, text=True, check=False, timeout=500)


def both_ends(folder: Path, name: str) -> str:
    """The page's code from its constants to its ``classes``, as a package that checks itself."""
    text = block(folder, "kotlin")
    start = text.index("const val HEIGHT")
    end = text.index("\n}\n", text.index("fun classes(")) + 3
    return _HEAD.format(name) + text[start:end] + _SELF_CHECK


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Case -> what its code says; all are compiled at once, as the compiler takes seconds to start."""
    root = tmp_path_factory.mktemp("kotlin")
    sources, lines = [], []
    for number, case in enumerate(CASES):
        changes, source, result = cast("tuple[dict[str, Any], ...]", case.values)
        contract = Contract.model_validate({**CONTRACT.model_dump(), **changes})
        folder = made(root / f"case{number}", contract, source, result)
        sources.append(folder / "Page.kt")
        sources[-1].write_text(both_ends(folder, f"case{number}"))
        lines.append(f'    println("{case.id}: " + case{number}.check("{folder}/golden"))')
    sources.append(root / "Main.kt")
    sources[-1].write_text("\n".join(("fun main() {", *lines, "}", "")))
    built = java(
        "-cp", str(JARS), "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib", "-no-reflect",
        "-Werror", "-cp", str(JARS), "-d", str(root / "app.jar"), *map(str, sources),
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    ran = java("-cp", f"{root / 'app.jar'}:{JARS}", "MainKt")
    assert ran.returncode == 0, ran.stderr
    return dict(re.findall(r"(.*): (.*)\n", ran.stdout))


@pytest.mark.parametrize("case", [str(case.id) for case in CASES])
def test_both_ends_in_kotlin_too(said: dict[str, str], case: str) -> None:
    assert said[case] == "same"
