"""The command line as a person meets it: whole processes, exit codes, one line on stderr, nothing left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from tests.conftest import Tiny

COMMAND = [sys.executable, "-m", "mosaic_deploy"]


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MOSAIC_")}
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


def build(tiny: Tiny, *more: str) -> subprocess.CompletedProcess[str]:
    return run("build", str(tiny.card), "--target", str(tiny.target), "--out", "out", *more, cwd=tiny.root)


def refused(done: subprocess.CompletedProcess[str], code: int, says: str, tiny: Tiny) -> None:
    assert done.returncode == code, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert says in last
    assert last.startswith("mosaic-deploy: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tiny.root / "out").exists()


def test_json_is_all_that_stdout_gets(tiny: Tiny) -> None:
    done = build(tiny, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["schema"] == 1
    assert report["passed"] is True
    (made,) = report["builds"]
    assert (made["model"], made["target"], made["recipe"]) == ("tiny", "echo", "w8a8")
    assert set(made["parity"]) >= {
        "metric", "dataset", "images", "reference", "candidate", "drop", "tolerance", "agreement",
        "per_class", "passed",
    }  # fmt: skip
    assert all(set(a) == {"path", "kind", "bytes", "sha256", "ships", "part_of"} for a in made["artifacts"])
    assert all(set(s) >= {"name", "tool", "version", "seconds"} for s in made["steps"])


def test_a_table_for_people(tiny: Tiny) -> None:
    done = build(tiny)
    assert done.returncode == 0, done.stderr
    for word in ("tiny", "echo", "float mIoU", "device mIoU", "drop", "agreement", "passed"):
        assert word in done.stdout
    for stage in ("decode", "export", "check", "reference", "run", "parity"):
        assert f"{stage:<10} done" in done.stderr


def test_a_gate_that_says_no_is_exit_1(tiny: Tiny) -> None:
    done = run(
        "build", str(tiny.card), "--target", str(tiny.target_with("wrong")), "--out", "out", "--json",
        cwd=tiny.root,
    )  # fmt: skip
    assert done.returncode == 1
    assert json.loads(done.stdout)["passed"] is False
    assert "parity failed" in done.stderr


def test_a_second_build_is_reported_again_and_force_builds(tiny: Tiny) -> None:
    first = build(tiny)
    place = tiny.root / "out" / "tiny-echo-w8a8" / "manifest.json"
    before = place.stat().st_mtime_ns
    again = build(tiny)
    assert (first.returncode, again.returncode) == (0, 0)
    assert again.stdout == first.stdout
    assert "unchanged since it was built" in again.stderr
    assert "done in" not in again.stderr
    assert place.stat().st_mtime_ns == before
    assert build(tiny, "--force").returncode == 0
    assert place.stat().st_mtime_ns != before


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("build", "mosiac"), 2, "did you mean 'mosaic'"),
        (("build", "--target", "dps"), 2, "did you mean 'dsp'"),
        (("build", "--recipe", "w8a9"), 2, "did you mean 'w8a"),
        (("build", "--arch", "74"), 2, "68, 69, 73, 75, 79, 81"),
        (("build", "--data", "stretes"), 2, "did you mean 'streets'"),
        (("build", "--data", "camvid:nowhere"), 2, "nowhere: no such folder"),
        (("build", "--tolerance", "7"), 2, "between 0 and 1"),
        (("build", "--tolerance", "some"), 2, "--tolerance"),
        (("build", "--images", "0"), 2, "at least 1"),
        (("build", "--imges", "3"), 2, "--images"),
        (("build", "missing.onnx"), 2, "missing.onnx: no such file"),
        (("bild",), 2, "build"),
        (("train", "mosaic", "--data", "streets", "--out", "out"), 2, "render-streets"),
        (("train", "mosaic", "--data", "streets*none", "--out", "out"), 2, "must be a number"),
        (("import-mlperf", "none.tflite", "-o", "w.safetensors"), 2, "none.tflite"),
        (("import-tflite", "none.tflite", "-o", "net.onnx"), 2, "none.tflite: no such file"),
        (("import-tflite", "none.tflite", "-o", "net.tflite"), 2, "name an .onnx file"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_bad_usage(tiny: Tiny, arguments: tuple[str, ...], code: int, says: str) -> None:
    more = ("--out", "out") if arguments[0] == "build" else ()
    refused(run(*arguments, *more, cwd=tiny.root), code, says, tiny)


def truncate(tiny: Tiny) -> None:
    tiny.onnx.write_bytes(tiny.onnx.read_bytes()[:-40])


def not_onnx(tiny: Tiny) -> None:
    tiny.onnx.write_bytes(b"GIF89a" + bytes(range(256)) * 4)


def dynamic(tiny: Tiny) -> None:
    model = onnx.load(tiny.onnx)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save(model, tiny.onnx)


def old_opset(tiny: Tiny) -> None:
    model = onnx.load(tiny.onnx)
    model.opset_import[0].version = 5
    onnx.save(model, tiny.onnx)


def external(location: str) -> Callable[[Tiny], None]:
    def change(tiny: Tiny) -> None:
        model = onnx.load(tiny.onnx)
        weights = model.graph.initializer[0]
        weights.ClearField("raw_data")
        weights.data_location = onnx.TensorProto.EXTERNAL
        weights.external_data.add(key="location", value=location)
        tiny.onnx.write_bytes(model.SerializeToString())

    return change


def corrupt_image(tiny: Tiny) -> None:
    path = tiny.data / "val" / "images" / "1.png"
    path.write_bytes(path.read_bytes()[:200])


def other_size(tiny: Tiny) -> None:
    Image.fromarray(np.zeros((20, 56), np.uint8)).save(tiny.data / "val" / "labels" / "1.png")


def unknown_id(tiny: Tiny) -> None:
    Image.fromarray(np.full((40, 56), 77, np.uint8)).save(tiny.data / "val" / "labels" / "1.png")


def no_calibration(tiny: Tiny) -> None:
    for path in (tiny.data / "calib" / "images").iterdir():
        path.unlink()


def leaking(tiny: Tiny) -> None:
    image = tiny.data / "val" / "images" / "0.png"
    (tiny.data / "calib" / "images" / "1.png").write_bytes(image.read_bytes())


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (truncate, "truncated"),
        (not_onnx, "ONNX"),
        (dynamic, "height"),
        (old_opset, "opset 5"),
        (external("gone.bin"), "gone.bin"),
        (external("../../secret.bin"), "secret.bin"),
        (corrupt_image, "1.png"),
        (other_size, "56x20"),
        (unknown_id, "77"),
        (no_calibration, "no images"),
        (leaking, "are also in the validation set"),
    ],
    ids=[
        "truncated", "not-onnx", "dynamic", "opset", "external-missing", "external-escapes", "corrupt-image",
        "label-size", "label-id", "no-calibration", "leak",
    ],
)  # fmt: skip
def test_bad_input(tiny: Tiny, harm: Callable[[Tiny], None], says: str) -> None:
    harm(tiny)
    refused(build(tiny), 2, says, tiny)


def test_weights_of_another_shape(tiny: Tiny) -> None:
    from safetensors.numpy import load_file, save_file

    models = Path(__file__).parents[2] / "models"
    (tiny.root / "mosaic.toml").write_text((models / "mosaic.toml").read_text())
    weights = load_file(models / "mosaic.safetensors")
    weights["backbone.stem.conv.conv.weight"] = np.zeros((3, 3), np.float16)
    save_file(weights, tiny.root / "mosaic.safetensors")
    done = run("build", "mosaic.toml", "--target", str(tiny.target), "--out", "out", cwd=tiny.root)
    refused(done, 2, "backbone.stem.conv.conv.weight", tiny)


@pytest.mark.parametrize(
    ("fault", "says"), [("crash", "SIGSEGV"), ("full", "no space left")], ids=["crash", "full-disk"]
)
def test_a_tool_that_fails_is_exit_3(tiny: Tiny, fault: str, says: str) -> None:
    target = str(tiny.target_with(fault))
    done = run("build", str(tiny.card), "--target", target, "--out", "out", cwd=tiny.root)
    refused(done, 3, says, tiny)


def test_a_disk_that_really_fills(tiny: Tiny) -> None:
    small = tiny.root / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        done = run("build", str(tiny.card), "--target", str(tiny.target), "--out", "small/out", cwd=tiny.root)
        refused(done, 3, "full", tiny)
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def workers_of(parent: int) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"mosaic_deploy.workers.worker" in words and str(parent).encode() in words:
                found.append(entry.name)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_stopping_leaves_nothing(tiny: Tiny, number: signal.Signals) -> None:
    target = str(tiny.target_with("hang"))
    process = subprocess.Popen(
        [*COMMAND, "build", str(tiny.card), "--target", target, "--out", "out"],
        cwd=tiny.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        part = tiny.root / "out" / ".tiny-hang-w8a8.part"
        deadline = time.monotonic() + 90
        while not ((part / "logs" / "echo.log").exists() and workers_of(process.pid)):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "stopped" in said
    assert "Traceback" not in said
    assert workers_of(process.pid) == []
    assert not (tiny.root / "out").exists()


def test_two_builds_into_one_folder_at_once(tiny: Tiny) -> None:
    target = str(tiny.target_with("hang"))
    arguments = ["build", str(tiny.card), "--target", target, "--out", "out"]
    first = subprocess.Popen([*COMMAND, *arguments], cwd=tiny.root, stderr=subprocess.PIPE)
    try:
        while not (tiny.root / "out" / ".tiny-hang-w8a8.part" / "logs").exists():
            assert first.poll() is None
            time.sleep(0.05)
        second = run(*arguments, cwd=tiny.root)
        assert second.returncode == 2
        assert "another process is writing it" in second.stderr
    finally:
        first.terminate()
        first.communicate(timeout=10)


def test_where_each_command_writes_is_the_same_option(tiny: Tiny) -> None:
    for command in ("build", "check", "run", "probe", "train", "import-mlperf", "bench"):
        short, long = (run(command, flag, cwd=tiny.root) for flag in ("-h", "--help"))
        assert short.returncode == long.returncode == 0
        assert short.stdout == long.stdout
        assert "-o " in short.stdout, command
        assert "<bool>" not in short.stdout, command
        assert "Examples:" in short.stdout, command


def test_a_failing_tool_shows_its_cause_and_its_log_where_asked(tiny: Tiny) -> None:
    arguments = ("build", str(tiny.card), "--target", str(tiny.target_with("crash")), "--out", "out")
    plain = run(*arguments, cwd=tiny.root)
    assert (plain.returncode, "Traceback" in plain.stderr) == (3, False)
    place = Path(plain.stderr.strip().splitlines()[-1].rpartition("; log: ")[2])
    assert place.is_file()
    assert tiny.root not in place.parents
    for asked in (("-v", *arguments), (*arguments, "--verbose")):
        told = run(*asked, cwd=tiny.root)
        assert told.returncode == 3
        assert "Traceback" in told.stderr
        assert "the end of " in told.stderr
        assert told.stderr.strip().splitlines()[-1].startswith("mosaic-deploy: ")


def test_quiet_leaves_results_and_errors(tiny: Tiny) -> None:
    done = build(tiny, "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert "passed" in done.stdout
    wrong = run("--quiet", "build", "mosiac", cwd=tiny.root)
    assert wrong.stderr.startswith("mosaic-deploy: ")


def test_it_says_its_version(tiny: Tiny) -> None:
    from mosaic_deploy._version import __version__

    assert run("--version", cwd=tiny.root).stdout == f"mosaic-deploy {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(tiny: Tiny, shell: str) -> None:
    asked = {
        "bash": {"COMP_WORDS": "mosaic-deploy build --inp", "COMP_CWORD": "2"},
        "zsh": {"_TYPER_COMPLETE_ARGS": "mosaic-deploy build --inp"},
        "fish": {
            "_TYPER_COMPLETE_ARGS": "mosaic-deploy build --inp",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
    }[shell]
    script = shutil.which("mosaic-deploy", path=str(Path(sys.executable).parent))
    assert script is not None
    done = subprocess.run(
        [script], cwd=tiny.root, env=os.environ | asked | {"_MOSAIC_DEPLOY_COMPLETE": f"complete_{shell}"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "--input-mean" in done.stdout
    assert "--target" not in done.stdout


@pytest.mark.parametrize(
    "environment",
    [
        {"TERM": "dumb"},
        {"NO_COLOR": "1"},
        {"COLUMNS": "80"},
        {"COLUMNS": "50"},
        {"PYTHONIOENCODING": "ascii"},
    ],
    ids=["dumb", "no-colour", "80", "50", "ascii"],
)
def test_the_table_is_readable_anywhere(tiny: Tiny, environment: dict[str, str]) -> None:
    command = [*COMMAND, "build", str(tiny.card), "--target", str(tiny.target), "--out", "out"]
    done = subprocess.run(
        command, cwd=tiny.root, env=os.environ | environment, capture_output=True, timeout=120
    )
    shown = done.stdout.decode("ascii" if "PYTHONIOENCODING" in environment else "utf-8")
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= int(environment.get("COLUMNS", "150"))
    for word in ("tiny", "echo", "w8a8", "float mIoU", "device mIoU", "drop", "agreement", "passed"):
        assert word in shown, word


def test_no_target_says_which_was_taken(tiny: Tiny) -> None:
    done = run("build", "missing.onnx", cwd=tiny.root)
    assert "no --target: building for dsp" in done.stderr


def test_help_teaches_without_torch(tiny: Tiny) -> None:
    done = run("--help", cwd=tiny.root)
    assert done.returncode == 0
    for command in ("build", "doctor", "train", "import-mlperf", "render-streets"):
        assert command in done.stdout
    heavy = "import sys, mosaic_deploy.cli.app, mosaic_deploy; print(sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout
    for name in ("torch", "onnxruntime", "numpy", "pydantic", "rich", "onnx"):
        assert f"'{name}'" not in modules


def test_doctor_says_what_is_there_and_how_to_get_the_rest(tiny: Tiny) -> None:
    done = run("doctor", "--json", cwd=tiny.root)
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["passed"] else 3)
    names = {f["name"]: f for f in report["findings"]}
    assert names["target dsp"]["ok"]
    assert names["data streets"]["ok"]
    assert not names["data camvid"]["ok"]
    assert "MOSAIC_CAMVID" in names["data camvid"]["remedy"]
