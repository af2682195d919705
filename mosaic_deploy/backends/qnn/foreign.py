"""Files for Hexagon that others made: compiled contexts, bare or loaded by an ONNX graph, and DLCs.

.bin   a context binary, of one architecture
.onnx  a graph of one EPContext node with such a binary inside or beside it
.dlc   tied to no architecture: compiled for those that a build compiles for
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mosaic_deploy.backends.plain_onnx import look as look_at_onnx
from mosaic_deploy.backends.protocol import CompiledModel, File
from mosaic_deploy.errors import ModelError
from mosaic_deploy.specs.registry import load_spec, spec_names
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

_FILE_BYTES = 1 << 30
_BACKEND = "qnn"
_CONTEXT, _BINARY = "model_ctx.onnx", "model_ctx_qnn.bin"
_COMPATIBILITY = "ep_compatibility_info.QNNExecutionProvider"
_DOMAIN = "com.microsoft"


def look(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Read ``request["path"]``; a DLC is compiled, into this process's folder.

    Returns:
        ``input`` and ``output`` as a manifest has them; ``description``, what mosaic-deploy wrote into it, or
        None; ``graph``, the network's name; ``sdk``, the version of QNN; ``binaries``, architecture -> path,
        which is empty where the binary is inside the file.

    Raises ``ModelError`` for what is no sound file of one network, and for an architecture that is not known.
    """
    from mosaic_deploy.backends.qnn.binary_info import describe

    path = Path(request["path"])
    if path.stat().st_size > _FILE_BYTES:
        raise ModelError(f"{path.name}: larger than {_FILE_BYTES >> 20} MiB, the largest that is supported")
    if path.suffix.lower() == ".dlc":
        return _compiled(path, on_progress)
    if path.suffix.lower() == ".bin":
        found = describe(path.read_bytes(), path.name)
        return {**found, "description": None, "binaries": {str(_known(found["arch"], path)): str(path)}}
    binary, data = _binary(path)
    found = describe(data, path.name)
    _require_stated(path, found["arch"])
    place = "" if binary is None else str(binary)
    return {**found, **look_at_onnx(path), "binaries": {str(_known(found["arch"], path)): place}}


def as_built(path: Path, facts: JsonObject, folder: Path) -> CompiledModel:
    """What was looked at as the backend runs its own, copied into ``folder``, a folder per architecture."""
    import onnx

    files = []
    for arch, binary in facts["binaries"].items():
        place = folder / f"v{arch}"
        place.mkdir()
        name = Path(binary).name
        if path.suffix.lower() == ".onnx":
            (place / _CONTEXT).write_bytes(path.read_bytes())
        else:
            name = _BINARY
            onnx.save_model(_loader(facts, name), place / _CONTEXT)
        files.append(File(f"v{arch}/{_CONTEXT}", "context-onnx"))
        if binary:
            (place / name).write_bytes(Path(binary).read_bytes())
            files.append(File(f"v{arch}/{name}", "context-binary", ships=True))
    known: dict[str, object] = {
        "input": {"pixel_factor": None, "pixel_shift": 0.0, **facts["input"]},
        "output": facts["output"],
        "archs": [int(arch) for arch in facts["binaries"]],
        "qnn": facts["sdk"],
    }
    return CompiledModel(folder, tuple(files), (), known)


def _compiled(dlc: Path, on_progress: OnProgress) -> JsonObject:
    from mosaic_deploy.backends.qnn.binary_info import describe
    from mosaic_deploy.backends.qnn.dlc import compile_dlc

    found: JsonObject = {}
    binaries = {}
    archs = _archs("archs")
    for index, arch in enumerate(archs):
        on_progress(index / len(archs), f"compiling for v{arch}")
        out = Path(f"v{arch}.bin").resolve()
        compile_dlc(dlc, arch, out)
        found = describe(out.read_bytes(), dlc.name)
        if found["arch"] != arch:
            raise ModelError(f"{dlc.name}: asked for Hexagon v{arch}, the compiler made v{found['arch']}")
        binaries[str(arch)] = str(out)
    return {**found, "description": None, "binaries": binaries}


def _binary(context: Path) -> tuple[Path | None, bytes]:
    """The binary that a graph of one node loads, and where it lies unless it is inside."""
    node = _node(context)
    stated = {a.name: a for a in node.attribute}
    if "ep_cache_context" not in stated:
        raise ModelError(f"{context.name}: its node names no binary")
    value = bytes(stated["ep_cache_context"].s)
    if "embed_mode" not in stated or stated["embed_mode"].i == 1:
        return None, value
    name = value.decode(errors="replace")
    binary = context.parent / name
    if len(PurePosixPath(name).parts) != 1 or not binary.is_file():
        raise ModelError(f"{context.name}: its binary {name!r:.80} is not beside it")
    if binary.stat().st_size > _FILE_BYTES:
        raise ModelError(f"{name}: larger than {_FILE_BYTES >> 20} MiB, the largest that is supported")
    return binary, binary.read_bytes()


def _node(context: Path) -> onnx.NodeProto:
    import onnx

    node: onnx.NodeProto = onnx.load(context, load_external_data=False).graph.node[0]
    return node


def _require_stated(context: Path, arch: int) -> None:
    """Raise ``ModelError`` where the graph says that its binary is for another architecture than it is."""
    import onnx

    model = onnx.load(context, load_external_data=False)
    stated = {p.key: p.value for p in model.metadata_props}.get(_COMPATIBILITY, "").split(":")
    if len(stated) > 4 and re.fullmatch(r"[1-9]\d*", stated[4]) and int(stated[4]) != arch:
        raise ModelError(f"{context.name}: is for Hexagon v{stated[4]}, as it says, its binary for v{arch}")


def _known(arch: int, path: Path) -> int:
    known = _archs("known_archs")
    if arch not in known:
        listed = ", ".join(f"v{number}" for number in known)
        raise ModelError(f"{path.name}: for Hexagon v{arch}, which the simulator does not know: {listed}")
    return arch


def _archs(option: str) -> tuple[int, ...]:
    """Architectures that the targets of this backend list."""
    specs = (load_spec(TargetSpec, name) for name in spec_names(TargetSpec))
    lists: list[Any] = [spec.options.get(option, ()) for spec in specs if spec.backend == _BACKEND]
    return tuple(sorted({int(arch) for found in lists for arch in found}))


def _loader(facts: JsonObject, binary: str) -> onnx.ModelProto:
    """The ONNX graph of one node by which ONNX Runtime loads a context binary that lies beside it."""
    import numpy as np
    from onnx import helper

    ends = [
        helper.make_tensor_value_info(
            facts[role]["name"],
            helper.np_dtype_to_tensor_dtype(np.dtype(facts[role]["dtype"])),
            facts[role]["shape"],
        )
        for role in ("input", "output")
    ]
    node = helper.make_node(
        "EPContext",
        [ends[0].name],
        [ends[1].name],
        facts["graph"],
        domain=_DOMAIN,
        main_context=1,
        embed_mode=0,
        ep_cache_context=binary,
        source="QNNExecutionProvider",
        partition_name=facts["graph"],
        ep_sdk_version=facts["sdk"],
    )
    graph = helper.make_graph([node], "context", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(_DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)
