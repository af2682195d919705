"""The compiler's log, read without the compiler."""

from __future__ import annotations

from pathlib import Path

from mosaic_deploy.backends.qnn.traffic import cost_rows, take_traffic

HEAD = "2026-01-01 00:00:00.000000000"
TALK = f"{HEAD} [V:onnxruntime:Default, qnn_backend_manager.cc:519 QnnLogging]"
LOG = f"""thread: said before anything else
{TALK} node_params:
 name=axis value=3

{TALK} spill_bytes=5
{HEAD} [W:onnxruntime:, qnn.cc:1 QnnEp] a warning
 that goes on
{TALK} ====== DDR bandwidth summary ======

{TALK} spill_bytes=16

{TALK} fill_bytes=8
{TALK} write_total_bytes=4096
{HEAD} [I:onnxruntime:, qnn.cc:1 QnnEp] read_total_bytes=12
"""


def test_the_last_summary_counts_and_the_talk_goes(tmp_path: Path) -> None:
    log = tmp_path / "compile.log"
    log.write_text(LOG)
    found = take_traffic(log)
    assert found == {"DDR read": 12, "DDR written": 4096, "Spilled to DDR": 16, "Filled from DDR": 8}
    assert log.read_text().splitlines() == [
        "thread: said before anything else",
        f"{HEAD} [W:onnxruntime:, qnn.cc:1 QnnEp] a warning",
        " that goes on",
    ]
    (row,) = cost_rows({"v75": {"DDR read": 12}})
    assert (row["device"], row["name"], row["value"], row["unit"]) == ("v75", "DDR read", 12, "bytes")


def test_a_compiler_that_states_nothing_costs_nothing_known(tmp_path: Path) -> None:
    log = tmp_path / "compile.log"
    log.write_text("")
    assert take_traffic(log) == {}
    assert cost_rows({"v75": {}}) == []
