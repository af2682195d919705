"""The project's own op tables, by their names."""

from __future__ import annotations

from mosaic_deploy.errors import SpecError
from mosaic_deploy.gate.op_support.table_file import read_table
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.toml import nearest


def load_table(name: str) -> OpTable:
    """Read ``targets/ops/NAME.toml``.

    Raises ``SpecError`` for an unknown name (with the nearest) and a table that breaks its schema.
    """
    folder = spec_root() / "targets" / "ops"
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if name not in known:
        raise SpecError(f"no op table '{name}'{nearest(name, known)}; known: {', '.join(known)}")
    return read_table(folder / f"{name}.toml")
