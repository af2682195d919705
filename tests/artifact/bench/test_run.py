from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from mosaic_deploy.artifact.bench.plot import plot, require_free
from mosaic_deploy.artifact.bench.report import BenchReport, Machine
from mosaic_deploy.artifact.bench.run import BenchRequest, bench
from mosaic_deploy.backends import reference
from mosaic_deploy.backends.protocol import Timing, TimingConfig, WorkDir
from mosaic_deploy.backends.registry import BACKENDS
from mosaic_deploy.errors import DataError, ModelError, SpecError, ToolError, UsageError
from mosaic_deploy.files import sha256_of
from mosaic_deploy.specs.contract import Contract
from tests.artifact.test_predict import one_line
from tests.artifact.tiny_artifact import (
    CALLS,
    CONTRACT,
    FakeBackend,
    colour_graph,
    edit,
    fake_artifact,
    write_artifact,
)
from tests.cli.test_app import run

FLOAT_S = 0.04


def silent(_stage: str, _share: float, _note: str) -> None:
    pass


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fake runtime, and a float yardstick that always takes 40 ms; both write down their calls."""
    monkeypatch.setitem(BACKENDS, "fake", "tests.artifact.tiny_artifact")

    def float_time(onnx: Path, trial: TimingConfig, *, space: WorkDir) -> Timing:
        CALLS.append(f"float of {onnx.parent.name}")
        assert np.load(trial.input).dtype == np.float32
        facts: dict[str, object] = {"ran_on": "a float fake", "threads": trial.threads}
        return Timing((FLOAT_S,) * trial.runs, 9 << 20, facts)

    monkeypatch.setattr(reference, "time", float_time)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    CALLS.clear()
    yield
    CALLS.clear()


def shown(report: BenchReport) -> str:
    console = Console(width=150)
    with console.capture() as capture:
        console.print(report.table())
    return capture.get()


def test_artifacts_take_turns_and_the_order_moves_on(tmp_path: Path) -> None:
    a, b = (fake_artifact(tmp_path / name, seconds=[0.01]) for name in "ab")
    bench(BenchRequest((a, b), runs=8, rounds=4), progress=silent)
    assert CALLS == [
        "float of a", "a", "b",
        "a", "b", "float of a",
        "b", "float of a", "a",
        "float of a", "a", "b",
    ]  # fmt: skip


def test_figures_of_hand_made_times(tmp_path: Path) -> None:
    a = fake_artifact(tmp_path / "a", seconds=[0.010, 0.010, 0.020])
    b = fake_artifact(tmp_path / "b", seconds=[0.020])
    report = bench(BenchRequest((a,), baseline=b, runs=30, rounds=3), progress=silent)
    first, second = report.rows
    times = first.timed.latencies
    assert times is not None
    assert (times.median_s, times.p90_s, times.least_s, times.spread) == (0.010, 0.020, 0.010, 2.0)
    assert first.timed.peak_bytes == 3 << 20
    assert first.to_float is not None
    assert first.to_float.value == pytest.approx(0.25)
    assert first.to_versus is not None
    assert first.to_versus.value == pytest.approx(0.5)
    assert first.to_versus.interval == pytest.approx((0.5, 1.0))
    assert second.to_versus is None
    assert report.baseline == "b"
    assert second.to_float is not None
    assert second.to_float.interval == pytest.approx((0.5, 0.5))
    assert first.class_map_s is not None
    assert 0 < first.class_map_s < 1


def test_runs_are_spread_over_whole_rounds(tmp_path: Path) -> None:
    report = bench(
        BenchRequest((fake_artifact(tmp_path / "a", seconds=[1.0]),), runs=7, rounds=3), progress=silent
    )
    assert report.runs == 3
    times = report.rows[0].timed.latencies
    assert times is not None
    assert times.seconds.shape == (3, 3)


def test_one_float_network_is_timed_once_and_another_apart(tmp_path: Path) -> None:
    a, b = (fake_artifact(tmp_path / name, seconds=[0.01]) for name in "ab")
    nhwc = Contract.model_validate({**CONTRACT.model_dump(), "layout": "NHWC"})
    c = write_artifact(tmp_path / "c", contract=nhwc, backend="fake", facts={"seconds": [0.02]})
    report = bench(BenchRequest((a, b, c), runs=1, rounds=1), progress=silent)
    assert [timed.name for timed in report.floats] == ["float logits of a", "float logits of c"]
    assert [row.float_baseline for row in report.rows] == [
        "float logits of a",
        "float logits of a",
        "float logits of c",
    ]


def test_the_yardstick_is_named_by_its_output(tmp_path: Path) -> None:
    graph = colour_graph()
    graph.doc_string = "other bytes"
    lowres = Contract.model_validate({**CONTRACT.model_dump(), "output": "lowres"})
    a = fake_artifact(tmp_path / "a", seconds=[0.01])
    b = write_artifact(
        tmp_path / "b", contract=lowres, backend="fake", facts={"seconds": [0.02]}, graph=graph
    )
    report = bench(BenchRequest((a, b), runs=1, rounds=1), progress=silent)
    assert [row.float_baseline for row in report.rows] == ["float logits", "float lowres"]


def test_the_yardstick_gets_its_own_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled network takes NHWC, the float one it was made from NCHW, as TFLite's do."""
    nhwc = Contract.model_validate({**CONTRACT.model_dump(), "layout": "NHWC"})
    a = write_artifact(
        tmp_path / "a", contract=nhwc, backend="fake", facts={"seconds": [0.02]}, graph=colour_graph()
    )
    shapes = []

    def float_time(onnx: Path, trial: TimingConfig, *, space: WorkDir) -> Timing:
        shapes.append(np.load(trial.input).shape)
        return Timing((FLOAT_S,) * trial.runs, 1, {})

    monkeypatch.setattr(reference, "time", float_time)
    bench(BenchRequest((a,), runs=1, rounds=1), progress=silent)  # the fake checks that it gets NHWC itself
    assert shapes == [(1, 3, 32, 48)]


def test_integers_that_are_slow_are_called_so_beside_the_float_of_their_own_runtime(tmp_path: Path) -> None:
    a = fake_artifact(tmp_path / "a", seconds=[0.03], precision="int8", time_shares={"Resize": 0.7})
    b = fake_artifact(tmp_path / "b", seconds=[0.02], precision="float32")
    alone, beside = (bench(BenchRequest(of, runs=3, rounds=3), progress=silent) for of in ((a,), (a, b)))
    assert alone.rows[0].slow == (
        "Resize takes 70% of the time: build it with --output lowres, and let the app enlarge the scores",
    )
    assert beside.rows[0].slow[0].startswith("slower than b, 1.50 (1.50-1.50) times its time: ")
    assert beside.rows[0].slow[1:] == alone.rows[0].slow
    assert beside.rows[1].slow == ()
    assert "slow: a: slower than b" in shown(beside)


def test_a_simulator_gets_no_latency_whatsoever(tmp_path: Path) -> None:
    a = fake_artifact(tmp_path / "real", seconds=[0.01])
    b = fake_artifact(tmp_path / "sim", seconds=None)
    report = bench(BenchRequest((b, a), baseline=b, runs=6, rounds=3), progress=silent)
    assert CALLS.count("sim") == 1
    assert CALLS.count("real") == 3
    simulated, real = report.rows
    record = simulated.to_json()
    assert record["simulator"] is True
    for key in ("median_ms", "p90_ms", "min_ms", "spread", "rounds_ms", "peak_bytes", "class_map_ms"):
        assert record[key] is None, key
    assert (record["x_float"], record["x_versus"]) == (None, None)
    assert real.to_versus is None
    text = shown(report)
    assert "simulator" in text
    assert "sim: hot spots, share of the simulated cycles, not a latency" in text
    assert "    9.0%  node0" in text
    assert "node4" in text
    assert "node5" not in text


def test_simulators_alone(tmp_path: Path) -> None:
    a = fake_artifact(tmp_path / "a", seconds=None)
    (a / "model.onnx").unlink()
    report = bench(BenchRequest((a,), runs=6, rounds=3), progress=silent)
    assert CALLS == ["a"]
    assert report.floats == ()
    plot(report, tmp_path / "plot.png")
    assert json.dumps(report.to_json(), allow_nan=False)


def test_the_object_that_is_printed(tmp_path: Path) -> None:
    a = fake_artifact(tmp_path / "a", seconds=[0.01, 0.02])
    record = json.loads(
        json.dumps(
            bench(BenchRequest((a,), runs=4, rounds=2, threads=1), progress=silent).to_json(), allow_nan=False
        )
    )
    assert set(record) == {
        "schema", "cpu", "cores", "load", "threads", "rounds", "runs", "warm_up", "image", "versus", "floats",
        "artifacts", "notes",
    }  # fmt: skip
    assert record["schema"] == 1
    (made,) = record["artifacts"]
    assert made.pop("class_map_ms") > 0
    assert made.pop("manifest_sha256") == sha256_of(a / "manifest.json")
    assert made.pop("x_float") == {"ratio": pytest.approx(0.375), "interval": None}
    assert made == {
        "name": "a", "ran_on": "a fake", "threads": 1, "simulator": False, "runs": 4,
        "median_ms": 15.0, "p90_ms": 20.0, "min_ms": 10.0, "spread": pytest.approx(4 / 3),
        "rounds_ms": [[10.0, 10.0], [20.0, 20.0]], "peak_bytes": 2 << 20,
        "size_bytes": (a / "echo.onnx").stat().st_size, "hot_spots": [], "slow": [], "folder": str(a),
        "target": "fake", "recipe": "w8a8", "output": "logits", "passed": True,
        "float": "float logits", "x_versus": None,
    }  # fmt: skip
    (floating,) = record["floats"]
    assert (floating["name"], floating["median_ms"]) == ("float logits", 1e3 * FLOAT_S)


def test_the_table_states_what_was_done(tmp_path: Path) -> None:
    a, b = (fake_artifact(tmp_path / name, seconds=[0.01]) for name in ("[red]a", "b"))
    report = bench(BenchRequest((a,), baseline=b, runs=10, rounds=5), progress=silent)
    text = shown(replace(report, machine=Machine("Some CPU", 2, 0.0)))
    assert "Some CPU, 2 threads: 5 rounds of 2 runs after 5 warm-up runs" in text
    assert "0.25 (0.25-0.25)" in text
    assert "1.00 (1.00-1.00)" in text
    assert "[red]a" in text
    assert "x vs: baseline b" in text
    assert "40.00" in text


@pytest.mark.parametrize(
    ("load", "threads", "facts", "says"),
    [
        pytest.param(99.0, 2, {}, "busy before the first run (load 99.0", id="busy"),
        pytest.param(0.0, 200, {}, "200 threads on", id="threads"),
        pytest.param(0.0, 2, {"seconds": [0.01, 0.01, 0.01, 0.03]}, "a: p90 is 2.4 times", id="scattered"),
        pytest.param(0.0, 2, {"threads": 1}, "a ran on 1 threads", id="own-threads"),
    ],
)
def test_what_a_reader_must_know(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    load: float,
    threads: int,
    facts: dict[str, object],
    says: str,
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    a = write_artifact(tmp_path / "a", backend="fake", facts={"seconds": [0.01], **facts})
    notes = bench(BenchRequest((a,), runs=4, rounds=4, threads=threads), progress=silent).notes
    assert "not as a phone's latency" in notes[0]
    assert says in notes[1]
    assert len(notes) == 2


def test_a_quiet_machine_and_sound_artifacts_need_one_note(tmp_path: Path) -> None:
    a = fake_artifact(tmp_path / "a", seconds=[0.01])
    assert len(bench(BenchRequest((a,), runs=1, rounds=1), progress=silent).notes) == 1
    edit(a, "passed", value=False)
    (a / "model.onnx").unlink()
    notes = bench(BenchRequest((a,), runs=1, rounds=1), progress=silent).notes
    assert notes[1] == "a: no float network in the artifact, so no float baseline"
    assert notes[2] == "a: a check failed when it was built, so its results may be wrong"


def test_artifacts_of_one_name_are_told_apart_and_one_is_timed_once(tmp_path: Path) -> None:
    first, second = (fake_artifact(tmp_path / name / "a", seconds=[0.01]) for name in "xy")
    report = bench(
        BenchRequest((first, second, tmp_path / "y" / "." / "a"), baseline=first, runs=1, rounds=1),
        progress=silent,
    )
    assert [row.timed.name for row in report.rows] == [str(first), str(second)]
    assert report.baseline == str(first)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (BenchRequest(()), "name an artifact"),
        (BenchRequest((Path("a"),), runs=0), "runs 0 is out of range: 1 to"),
        (BenchRequest((Path("a"),), rounds=0), "rounds 0 is out of range: 1 to 100"),
        (BenchRequest((Path("a"),), runs=4), "rounds 5 is out of range: 1 to 4"),
        (BenchRequest((Path("a"),), threads=0), "threads 0 is out of range: 1 to"),
        (BenchRequest((Path("a"),), warm_up=-1), "warm-up -1 is out of range: 0 to"),
    ],
    ids=["none", "runs", "rounds", "more-rounds", "threads", "warm-up"],
)
def test_numbers_that_make_no_sense(request_: BenchRequest, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bench(request_, progress=silent)


def test_nothing_is_timed_before_all_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = (fake_artifact(tmp_path / name, seconds=[0.01]) for name in "ab")
    with (b / "echo.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match=r"b/echo\.onnx: is not the file"):
        bench(BenchRequest((a, b)), progress=silent)
    with pytest.raises(DataError, match="no_image"):
        bench(BenchRequest((a,), image=tmp_path / "no_image.png"), progress=silent)
    monkeypatch.setattr(FakeBackend, "missing", lambda _self: "pip install it")
    with pytest.raises(ToolError, match="pip install it"):
        bench(BenchRequest((a,)), progress=silent)
    assert CALLS == []


def test_a_yardstick_of_another_size_is_refused(tmp_path: Path) -> None:
    wide = Contract.model_validate({**CONTRACT.model_dump(), "width": 96})
    a = write_artifact(tmp_path / "a", contract=wide, backend="fake", facts={"seconds": [0.01]})
    with pytest.raises(ModelError, match="takes 32x48 float32, the artifact's contract states 32x96"):
        bench(BenchRequest((a,)), progress=silent)


def test_a_runtime_that_times_too_little_is_found_out(tmp_path: Path) -> None:
    a = fake_artifact(tmp_path / "a", seconds=[0.01], runs=3)
    with pytest.raises(ToolError, match="timed another number of runs"):
        bench(BenchRequest((a,), runs=10, rounds=1), progress=silent)


def test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = fake_artifact(tmp_path / "a", seconds=[0.01])
    once = BenchRequest((a,), runs=1, rounds=1)
    Image.new("RGB", (30, 20)).save(tmp_path / "image.png")
    assert bench(once, progress=silent).image.startswith("the embedded street scene")
    stated = bench(replace(once, image=tmp_path / "image.png"), progress=silent)
    assert stated.image == str(tmp_path / "image.png")

    def none(_name: str, *, split: str) -> None:
        raise DataError(f"no {split}")

    monkeypatch.setattr("mosaic_deploy.artifact.bench.entries.open_data", none)
    assert bench(once, progress=silent).image == "noise"


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_plot(tmp_path: Path, suffix: str) -> None:
    a, b = (fake_artifact(tmp_path / name, seconds=[0.01, 0.02]) for name in ("a$_1$", "b"))
    c = fake_artifact(tmp_path / "c", seconds=None)
    path = tmp_path / f"plot{suffix}"
    plot(bench(BenchRequest((a, b, c), runs=10, rounds=5), progress=silent), path)
    assert not list(tmp_path.glob(".*"))
    if suffix == ".svg":
        text = path.read_text()
        for word in ("a$_1$", "float logits", "ms per run, 2 threads"):
            assert word in text
        assert text.count("<!-- c -->") == 0
    else:
        with Image.open(path) as picture:
            assert picture.width > 600


def test_places_that_a_plot_cannot_go_to(tmp_path: Path) -> None:
    (tmp_path / "there.svg").write_text("")
    for name, says in (
        ("a.pdf", "written as"),
        ("none/a.svg", "is not a folder"),
        ("there.svg", "add --force"),
    ):
        with pytest.raises(UsageError, match=says):
            require_free(tmp_path / name, force=False)
    require_free(tmp_path / "there.svg", force=True)


def test_the_command_times_real_runtimes(tmp_path: Path) -> None:
    for name in "ab":
        write_artifact(tmp_path / name)
    words = ("--vs", "b", "--runs", "6", "--rounds", "3", "--threads", "1")
    done = run("bench", "a", *words, "--json", "--plot", "p.svg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert [made["name"] for made in record["artifacts"]] == ["a", "b"]
    assert all(made["median_ms"] > 0 and made["peak_bytes"] > 1 << 20 for made in record["artifacts"])
    assert record["artifacts"][0]["x_versus"]["interval"][0] > 0
    assert "not as a phone's latency" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "p.svg"]
    one_line(run("bench", "a", "--plot", "p.svg", cwd=tmp_path), 2, "p.svg: exists already: add --force")
    one_line(run("bench", "c", cwd=tmp_path), 2, "c: no artifact")
    one_line(run("bench", "a", "--runs", "2", cwd=tmp_path), 2, "rounds 5 is out of range: 1 to 2")


def test_an_unknown_backend_is_a_wrong_model_not_a_bug(tmp_path: Path) -> None:
    a = write_artifact(tmp_path / "a")
    edit(a, "target", "backend", value="nope")
    with pytest.raises(ModelError, match="no backend 'nope'") as caught:
        bench(BenchRequest((a,)), progress=silent)
    assert not isinstance(caught.value, SpecError)
