"""The table that the Hexagon simulator writes, read without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mosaic_deploy.backends.qnn.profile import read_table
from mosaic_deploy.errors import ToolError

HEAD = "Msg Timestamp,Message,Time,Unit of Measurement,Timing Source,Event Level,Event Identifier\n"


def test_the_least_of_the_runs_counts(tmp_path: Path) -> None:
    table = tmp_path / "profile.csv"
    table.write_text(
        HEAD
        + "0,BACKEND,900,CYCLES,BACKEND,ROOT,Accelerator (execute) time (cycles)\n"
        + "0,NODE,700,CYCLES,BACKEND,SUB-EVENT,stem.conv_token_5:OpId_25 (cycles)\n"
        + "0,NODE,30,CYCLES,BACKEND,SUB-EVENT,Output OpId_3 (cycles)\n"
        + "0,NODE,80,CYCLES,BACKEND,SUB-EVENT,stem.conv_token_5:OpId_25 (cycles)\n"
        + "0,NODE,40,CYCLES,BACKEND,SUB-EVENT,Output OpId_3 (cycles)\n"
        + "0,NODE,9,US,BACKEND,SUB-EVENT,something else\n"
    )
    assert read_table(table) == {"stem.conv": 80, "Output": 30}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(HEAD, id="no-rows"),
        pytest.param(HEAD + "0,BACKEND,9,US,BACKEND,ROOT,QNN (execute) time\n", id="no-node"),
        pytest.param("", id="empty"),
        pytest.param(None, id="no-file"),
    ],
)
def test_a_table_without_nodes_is_one_line(tmp_path: Path, text: str | None) -> None:
    table = tmp_path / "profile.csv"
    if text is not None:
        table.write_text(text)
    with pytest.raises(ToolError, match=r"^the Hexagon simulator wrote a profile that names no node$"):
        read_table(table)
