"""What the Hexagon compiler says that a compiled network moves over the memory bus, read from its log.

At its most talkative the compiler sums up, while it prepares a graph, the bytes that one run reads from DDR
and writes to it, and how many of these only leave the fast memory on the chip for want of room and come back:

    ====== DDR bandwidth summary ======
    spill_bytes=3145728
    fill_bytes=3145728
    write_total_bytes=6291456
    read_total_bytes=6072320

That is a property of the compiled graph: no run, no clock and no load of this machine is in it.
"""

from __future__ import annotations

import re
from pathlib import Path

from mosaic_deploy.files import write_whole

SOURCE = "As Qualcomm's compiler states it; what is spilled and filled is among what is written and read."
_NAMES = {
    "read_total_bytes": "DDR read",
    "write_total_bytes": "DDR written",
    "spill_bytes": "Spilled to DDR",
    "fill_bytes": "Filled from DDR",
}
_FIGURE = re.compile(rf"\b({'|'.join(_NAMES)})=(\d+)\s*$")
_ENTRY = re.compile(r"\[([VIWEF]):onnxruntime:")
_TALK = "VI"


def take_traffic(log: Path) -> dict[str, int]:
    """Figure, as ``_NAMES`` calls it, -> bytes of one run; empty where the compiler states none.

    What else the compiler said at that length goes from the log; warnings and errors stay.
    """
    text = log.read_text(encoding="utf-8", errors="replace")
    matches = (_FIGURE.search(line) for line in text.splitlines())
    stated = {match[1]: int(match[2]) for match in matches if match}
    write_whole(log, "".join(_worth_reading(text)))
    return {name: stated[key] for key, name in _NAMES.items() if key in stated}


def cost_rows(traffic: dict[str, dict[str, int]]) -> list[dict[str, object]]:
    """The rows of ``facts["cost"]``: one per architecture and figure."""
    return [
        {"device": device, "name": name, "value": count, "unit": "bytes", "source": SOURCE}
        for device, figures in traffic.items()
        for name, count in figures.items()
    ]


def _worth_reading(text: str) -> list[str]:
    """Lines of entries that are warnings or worse, and what stands before the first entry."""
    kept, keep = [], True
    for line in text.splitlines(keepends=True):
        entry = _ENTRY.search(line)
        if entry:
            keep = entry[1] not in _TALK
        if keep and line.strip():
            kept.append(line)
    return kept
