"""QDQ graph -> context binary of one Hexagon architecture, or DLC; runs in a child process."""

from __future__ import annotations

import os
import re
import shutil
import struct
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.backends.qnn.session import open_session, talkative
from mosaic_deploy.errors import ToolError
from mosaic_deploy.specs.metadata import METADATA_KEY
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

_COMPATIBILITY = "ep_compatibility_info.QNNExecutionProvider"
"""``v2:backend:SDK:API:arch:SoC:VTCM:driver`` in a context's metadata; arch 0 where it was not known."""
_STAMP = re.compile(rb'"timestamp": "\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"')
_FIRST_TIME = struct.pack("<HH", 0, 0x21)  # midnight of 1 January 1980
_OPTIMISATION = "3"  # prepare longest, run fastest


def compile_context(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Compile ``request["qdq"]`` for ``request["arch"]`` into the folder ``request["out"]``.

    With ``request["talk"]`` the compiler logs all that it can say, its traffic too (see ``traffic``).

    Returns:
        ``onnx`` and ``binary``, the names of the two files there; ``sdk``, the version of QNN.

    Raises:
        ModelError: an operator is not taken.
        ToolError: the compiler fails, or what it wrote is not the whole network for that architecture.
    """
    arch, out = int(request["arch"]), Path(request["out"])
    out.mkdir(parents=True)
    context = out / "model_ctx.onnx"
    with talkative() if request.get("talk") else nullcontext():
        open_session(
            _here(request),
            provider={"htp_arch": str(arch), "htp_graph_finalization_optimization_mode": _OPTIMISATION},
            entries={
                "ep.context_enable": "1",
                "ep.context_embed_mode": "0",
                "ep.context_file_path": str(context),
            },
        )
    binary, sdk = _verify(context, arch)
    _describe(context, Path(request["qdq"]))
    return {"onnx": context.name, "binary": binary.name, "sdk": sdk}


def _describe(context: Path, qdq: Path) -> None:
    """Give the context the facts that the quantised graph holds on itself; the binary stays as it is."""
    import onnx

    stated = {p.key: p.value for p in onnx.load(qdq, load_external_data=False).metadata_props}
    model = onnx.load(context, load_external_data=False)
    if METADATA_KEY in stated:
        entry = model.metadata_props.add()
        entry.key, entry.value = METADATA_KEY, stated[METADATA_KEY]
        onnx.save_model(model, context)


def _verify(context: Path, arch: int) -> tuple[Path, str]:
    """Distrust: the files are there, hold one whole network for ``arch``, and load."""
    import onnx

    if not context.is_file():
        raise ToolError(f"the Hexagon compiler wrote no {context.name} for v{arch} and did not say why")
    model = onnx.load(context, load_external_data=False)
    if [node.op_type for node in model.graph.node] != ["EPContext"]:
        found = ", ".join(sorted({node.op_type for node in model.graph.node}))
        raise ToolError(f"{context.name} for v{arch} should be one compiled network but holds {found}")
    stated = {p.key: p.value for p in model.metadata_props}.get(_COMPATIBILITY, "").split(":")
    if len(stated) > 4 and stated[4] != str(arch):
        raise ToolError(
            f"asked for Hexagon v{arch}, the compiler made v{stated[4]}: it does not know v{arch}"
        )
    binary = context.parent / _binary_name(model)
    if not binary.is_file() or binary.stat().st_size == 0:
        raise ToolError(f"the Hexagon compiler wrote no {binary.name} for v{arch}, or an empty one")
    open_session(context, provider={}, entries={})
    return binary, stated[2] if len(stated) > 2 else "unknown"


def _binary_name(model: onnx.ModelProto) -> str:
    for attribute in model.graph.node[0].attribute:
        if attribute.name == "ep_cache_context":
            return str(attribute.s, "utf-8")
    raise ToolError("the compiled context names no binary")


def write_dlc(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Write ``request["qdq"]`` as a DLC, Qualcomm's own container, to ``request["out"]``.

    The DLC is not tied to an architecture: Qualcomm's tools compile it for one.

    Raises ``ModelError`` or ``ToolError`` as ``compile_context`` does.
    """
    import onnxruntime_qnn

    folder = Path("dlc")
    folder.mkdir()
    library = Path(onnxruntime_qnn.get_library_path()).with_name("libQnnIr.so")
    open_session(
        _here(request),
        provider={
            "dump_qnn_ir_dlc": "1",
            "dump_qnn_ir_dlc_dir": str(folder),
            "qnn_ir_backend_path": str(library),
        },
        entries={},
    )
    written = sorted(folder.iterdir())
    if len(written) != 1 or written[0].stat().st_size == 0:
        raise ToolError(f"one DLC was to be written, {len(written)} files were")
    _without_times(written[0])
    os.replace(written[0], request["out"])
    return {}


def _here(request: JsonObject) -> Path:
    """The graph under a name without folders: ONNX Runtime makes names in what it writes of the path."""
    return shutil.copyfile(request["qdq"], Path("model.qdq.onnx"))


def _without_times(dlc: Path) -> None:
    """Set all times in a DLC, which is a ZIP without check sums, to ZIP's first: same network, same bytes."""
    with zipfile.ZipFile(dlc) as archive:
        locals_, central = [info.header_offset for info in archive.infolist()], archive.start_dir
        count = len(locals_)
    data = bytearray(dlc.read_bytes())
    for start in locals_:
        data[start + 10 : start + 14] = _FIRST_TIME
    for _ in range(count):
        if data[central : central + 4] != b"PK\x01\x02":
            raise ToolError(f"{dlc.name}: not the ZIP archive that a DLC is")
        data[central + 12 : central + 16] = _FIRST_TIME
        lengths = struct.unpack_from("<HHH", data, central + 28)
        central += 46 + sum(lengths)
    dlc.write_bytes(_STAMP.sub(b'"timestamp": "1980-01-01 00:00:00 UTC"', bytes(data)))
