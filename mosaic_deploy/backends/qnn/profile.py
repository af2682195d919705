"""Where the Hexagon simulator spends its time, node by node; runs in a child process.

The counts are called cycles, but they vary with what else this machine does: they are the simulator's cost
and not a phone's. What remains of them is which nodes are heavy beside the others.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from mosaic_deploy.backends.qnn.session import open_session
from mosaic_deploy.errors import ToolError
from mosaic_deploy.quantize.boundary import to_integers
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_NAME, _KIND, _COUNT, _UNIT = 6, 1, 2, 3
"""Columns of the profile."""
_SUFFIX = re.compile(r"(_token_\d+)?[: ]OpId_\d+ \(cycles\)$")


def profile(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Run the compiled ``request["context"]`` on ``image`` (.npy) ``runs`` times and count.

    ``input`` holds the facts of the input, for its grid.

    Returns:
        ``counts``, [name, count] for each node: the least of the runs, the largest first. Nodes are called
        as in the graph, and what the compiler added, Input and Output.

    Raises:
        ToolError: the context does not load, or the profile holds no nodes.
    """
    table = Path("profile.csv").resolve()
    provider = {"profiling_level": "detailed", "profiling_file_path": str(table)}
    session = open_session(Path(request["context"]), provider=provider, entries={})
    source = request["input"]
    feed = {source["name"]: to_integers(np.load(request["image"], allow_pickle=False), source)}
    for index in range(request["runs"]):
        session.run(None, feed)
        on_progress((index + 1) / request["runs"], f"run {index + 1} of {request['runs']}")
    del session  # which writes the rest of the table
    counts = read_table(table)
    return {"counts": sorted(counts.items(), key=lambda pair: -pair[1])}


def read_table(table: Path) -> dict[str, int]:
    """Node -> the least count of all runs; raises ``ToolError`` for a table without nodes."""
    counts: dict[str, int] = {}
    if table.is_file():
        with table.open(encoding="utf-8", newline="") as lines:
            for row in csv.reader(lines):
                if len(row) > _NAME and row[_KIND] == "NODE" and row[_UNIT] == "CYCLES":
                    name, count = _SUFFIX.sub("", row[_NAME]), int(row[_COUNT])
                    counts[name] = min(counts.get(name, count), count)
    if not counts:
        raise ToolError("the Hexagon simulator wrote a profile that names no node")
    return counts
