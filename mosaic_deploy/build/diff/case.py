"""A divergence as a folder that can be sent to whoever makes the runtime.

    minimal.onnx   the operators alone, weights and scales inside
    input.npy      what they were fed; input-0.npy, input-1.npy ... where there are several
    expected.npy   what the first side makes of it
    actual.npy     what the second side makes of it
    issue.md       text for an issue
    diff.json      the object that ``diff --json`` prints
    as-shipped/    where an artifact is of another format than ONNX: the operators cut out of its file, with
                   input.npy as that takes it and output.npy as it came out

All other arrays have the types and grids of the model's own ends.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from mosaic_deploy._version import __version__
from mosaic_deploy.build.diff.found import Alone, Diff, DiffRequest
from mosaic_deploy.files import moved_in_folder

SHIPPED = "as-shipped"
_SHOWN = 12
"""Operators that the text lists."""


def write_case(found: Diff, request: DiffRequest) -> None:
    """Write the folder ``request.out``, whole or not at all.

    Raises ``UsageError`` where it is in the way, ``ToolError`` where the disk does not take it.
    """
    if request.out is None or found.alone is None:
        raise ValueError("there is no case to write")
    alone = found.alone
    with moved_in_folder(request.out, force=request.force) as folder:
        (folder / "minimal.onnx").write_bytes(alone.model)
        for name, values in zip(input_files(alone), alone.inputs.values(), strict=True):
            np.save(folder / name, values, allow_pickle=False)
        np.save(folder / "expected.npy", alone.expected, allow_pickle=False)
        np.save(folder / "actual.npy", alone.actual, allow_pickle=False)
        (folder / "issue.md").write_text(issue_text(found, request, alone), encoding="utf-8")
        if alone.shipped:
            (folder / SHIPPED).mkdir()
        for name, content in alone.shipped.items():
            (folder / SHIPPED / name).write_bytes(content)
        record = json.dumps(found.to_json(), allow_nan=False, indent=1)
        (folder / "diff.json").write_text(f"{record}\n", encoding="utf-8")


def input_files(alone: Alone) -> list[str]:
    """Names of the inputs' files, in the order of the model's inputs."""
    if len(alone.inputs) == 1:
        return ["input.npy"]
    return [f"input-{place}.npy" for place in range(len(alone.inputs))]


def issue_text(found: Diff, request: DiffRequest, alone: Alone) -> str:
    """Markdown for whoever makes the second runtime."""
    first, second = found.ran_on
    kinds = [operator.split()[0] for operator in alone.operators]
    what = ", ".join(dict.fromkeys(kinds)) or "a change of scale"
    at = found.at
    reproduces = alone.distance.parts
    verdict = (
        "The operators alone give the same difference, so `minimal.onnx` is all that is needed."
        if reproduces
        else "The operators alone, fed the same input, do not give it: the difference comes from how the "
        "network around them is compiled, or adds up from the rounding of earlier tensors."
    )
    listed = [f"- `{operator}`" for operator in alone.operators[:_SHOWN]]
    more = len(alone.operators) - len(listed)
    listed += [f"- and {more} more"] if more > 0 else []
    feeds = ", ".join(
        f'"{name}": np.load("{file}")' for name, file in zip(alone.inputs, input_files(alone), strict=True)
    )
    return "\n".join(
        [
            f"# {what}: {second} differs from {first}",
            "",
            f"- expected: {first}",
            f"- actual: {second}",
            f"- tensor: `{found.found}`",
            f"- found by mosaic-deploy {__version__}, on {found.images} image(s) of {found.dataset}, with "
            f"{len(found.probes)} probes among {found.candidates} tensors",
            "",
            "## What happens",
            "",
            *([f"In the network, from the image to this tensor: {at.words}.", ""] if at else []),
            f"The operators alone: {alone.distance.words}.",
            "",
            verdict,
            "",
            "Operators in `minimal.onnx`, Q/DQ pairs left out:",
            "",
            *listed,
            "",
            "## How to reproduce",
            "",
            *_shipped(alone),
            "`expected.npy` and `actual.npy` have the type and the grid of the model's output.",
            "",
            "```python",
            "import numpy as np",
            "import onnxruntime as ort",
            "",
            'session = ort.InferenceSession("minimal.onnx")  # or the runtime in question',
            f"output = session.run(None, {{{feeds}}})[0]",
            'for name in ("expected.npy", "actual.npy"):',
            "    print(name, np.abs(output.astype(float) - np.load(name)).max())",
            "```",
            "",
            "Found with:",
            "",
            "```sh",
            f"mosaic-deploy diff {Path(request.first).name} {Path(request.second).name} --data "
            f"{request.data.partition(':')[0]} --images {request.images}"
            + (f" --slack {request.slack:g}" if request.slack != 1 else ""),
            "```",
            "",
        ]
    )


def _shipped(alone: Alone) -> list[str]:
    networks = [f"`{name}`" for name in alone.shipped if not name.endswith(".npy")]
    if not networks:
        return []
    return [
        f"`{SHIPPED}/` has the same operators cut out of the file that ships ({', '.join(networks)}), "
        "their input as that takes it, and their output as it came out. `minimal.onnx` says what the file "
        "says, by the names of the network that it was made from.",
        "",
    ]
