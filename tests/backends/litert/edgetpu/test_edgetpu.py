"""Files for an Edge TPU: Coral's documented operators, and a fake in place of its compiler."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.edgetpu import operators
from mosaic_deploy.backends.protocol import BuildJob, CompiledModel
from mosaic_deploy.errors import RefusedError, SpecError, ToolError
from mosaic_deploy.specs.root import spec_root
from tests.backends.litert.test_backend import TFLITE, a_job, agreement, build, quiet, run
from tests.backends.qnn.test_backend import HEIGHT, WIDTH, network

pytestmark = pytest.mark.skipif(TFLITE.missing() is not None, reason=str(TFLITE.missing()))


def edge_job(folder: Path, head: str = "lowres") -> BuildJob:
    return a_job(folder / "job", network(head), target="edgetpu", recipe="int8")


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildJob, CompiledModel]:
    """A job, and its float network."""
    job = edge_job(tmp_path_factory.mktemp("edge"))
    made = TFLITE.convert(job, on_progress=quiet)
    assert made is not None
    return job, made


@pytest.fixture(scope="module")
def made(converted: tuple[BuildJob, CompiledModel]) -> CompiledModel:
    """Files for an Edge TPU, without its compiler."""
    return build(*converted)


@pytest.fixture
def edge_file(made: CompiledModel) -> Path:
    """A file that an Edge TPU takes."""
    return made.folder / "model.tflite"


def test_an_edge_tpu_file_is_integers_that_coral_documents(
    converted: tuple[BuildJob, CompiledModel], made: CompiledModel
) -> None:
    model = flatbuffer.load(made.folder / "model.tflite")
    assert flatbuffer.floats(model) == []
    operators: Any = made.facts["operators"]
    assert operators["AVERAGE_POOL_2D"] == 1
    assert "DEQUANTIZE" not in operators
    assert made.facts["compiled"] is False
    assert "is not on PATH" in str(made.facts["not_compiled"])
    assert any("RESIZE_BILINEAR" in text for text in made.facts["may_stay"])  # type: ignore[attr-defined]
    assert agreement(converted[0], run(made, converted[0])) > 0.95


def test_an_edge_tpu_has_no_argmax(tmp_path: Path) -> None:
    says = r"^an Edge TPU has no ARG_MAX 'classmap': build with --output lowres[^\n]*$"
    with pytest.raises(RefusedError, match=says):
        build(edge_job(tmp_path, "classmap"))


FAKE = """#!{python}
import pathlib, shutil, sys
out, model = sys.argv[sys.argv.index("-o") + 1], pathlib.Path(sys.argv[-1])
print("Edge TPU Compiler version 16.0.384591198")
if "{how}" == "crash":
    sys.exit("Internal compiler error")
if "{how}" != "silent":
    print("Operator                       Count      Status")
    print("CONV_2D                        3          Mapped to Edge TPU")
if "{how}" == "cpu":
    print("RESIZE_BILINEAR                1          Operation is otherwise supported, but not mapped")
shutil.copyfile(model, pathlib.Path(out) / (model.stem + "_edgetpu.tflite"))
"""


def put_compiler(folder: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake of Coral's compiler, on PATH."""
    folder.mkdir()
    program = folder / "edgetpu_compiler"
    program.write_text(FAKE.format(python=sys.executable, how=how))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_the_compiler_is_used_where_it_is(
    converted: tuple[BuildJob, CompiledModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_compiler(tmp_path / "bin", "well", monkeypatch)
    made = TFLITE.build(*converted, tmp_path, on_progress=quiet)
    assert [(f.path, f.ships) for f in made.files] == [
        ("model.tflite", False),
        ("model_edgetpu.tflite", True),
    ]
    assert (made.folder / "model_edgetpu.tflite").is_file()
    assert (made.facts["compiled"], made.facts["mapped"]) == (True, 3)
    assert made.steps[-1].tool == "edgetpu_compiler"
    assert made.steps[-1].version == "16.0.384591198"


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        pytest.param("cpu", RefusedError, "leaves to the CPU: 1 RESIZE_BILINEAR", id="cpu"),
        pytest.param("silent", ToolError, "does not say which operators it mapped", id="silent"),
        pytest.param("crash", ToolError, "ended with status 1 .Internal compiler error", id="crash"),
    ],
)
def test_the_compilers_bad_news(
    converted: tuple[BuildJob, CompiledModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    error: type[Exception],
    says: str,
) -> None:
    put_compiler(tmp_path / "bin", how, monkeypatch)
    with pytest.raises(error, match=says) as caught:
        TFLITE.build(*converted, tmp_path, on_progress=quiet)
    assert "\n" not in str(caught.value)


def changed(model: Any, kind: str, **options: int) -> Any:
    """Set options of the first operator of a kind."""
    op = next(o for o in model.subgraphs[0].operators if flatbuffer.kind(model, o) == kind)
    for name, value in options.items():
        op.builtinOptions.__dict__[name] = value
    return model


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        pytest.param("AVERAGE_POOL_2D", {"fusedActivationFunction": 1}, "no fused activation", id="fused"),
        pytest.param("CONV_2D", {"dilationHFactor": 2}, "dilation must be the same", id="dilation"),
    ],
)
def test_corals_constraints_say_no(
    edge_file: Path, tmp_path: Path, kind: str, options: dict[str, int], says: str
) -> None:
    path = tmp_path / "changed.tflite"
    flatbuffer.save(changed(flatbuffer.load(edge_file), kind, **options), path)
    with pytest.raises(RefusedError, match=rf"^an Edge TPU does not take {kind} '[^\n]*{says}"):
        operators.check({"model": str(path), "table": str(coral_table())}, quiet)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param("float", "computes in integers: .* has the FLOAT32 tensor", id="float"),
        pytest.param("dynamic", "needs sizes that are fixed", id="dynamic"),
        pytest.param("weights", "needs constant weights", id="weights"),
    ],
)
def test_corals_rules_for_tensors_say_no(edge_file: Path, tmp_path: Path, change: str, says: str) -> None:
    from ai_edge_litert import schema_py_generated as schema

    model, path = flatbuffer.load(edge_file), tmp_path / "changed.tflite"
    graph = model.subgraphs[0]
    convolution = next(o for o in graph.operators if flatbuffer.kind(model, o) == "CONV_2D")
    if change == "float":
        graph.tensors[convolution.outputs[0]].type = schema.TensorType.FLOAT32
    elif change == "dynamic":
        graph.tensors[graph.inputs[0]].shapeSignature = [-1, HEIGHT, WIDTH, 3]
    else:
        graph.tensors[convolution.inputs[1]].buffer = 0
    flatbuffer.save(model, path)
    with pytest.raises(RefusedError, match=says):
        operators.check({"model": str(path), "table": str(coral_table())}, quiet)


def test_the_table_names_constraints_that_exist(tmp_path: Path) -> None:
    table = operators.read_table(coral_table())
    assert {name for row in table.ops.values() for name in row.constraints} == {*operators.CONSTRAINTS}
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('sources = []\nruntime = 14\n[ops]\nADD = { constraints = ["no_such"] }\n')
    with pytest.raises(SpecError, match="no constraint 'no_such'"):
        operators.read_table(wrong)


def coral_table() -> Path:
    return spec_root() / "targets" / "compilers" / "coral.toml"
