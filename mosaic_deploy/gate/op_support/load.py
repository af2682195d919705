"""The project's own op tables, by their names."""

from __future__ import annotations

from mosaic_deploy.errors import SpecError
from mosaic_deploy.gate.op_support import table_cache
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.toml import nearest, read_text


def load_table(name: str) -> OpTable:
    """Read ``targets/ops/NAME.toml``, or what is kept of it.

    Raises ``SpecError`` for an unknown name (with the nearest) and a table that breaks its schema.
    """
    folder = spec_root() / "targets" / "ops"
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if name not in known:
        raise SpecError(f"no op table '{name}'{nearest(name, known)}; known: {', '.join(known)}")
    path = folder / f"{name}.toml"
    text = read_text(path)
    kept = table_cache.find(name, text)
    if kept is not None:
        return kept
    from mosaic_deploy.gate.op_support.table_file import parse_table  # not needed where it is kept

    table = parse_table(text, path)
    table_cache.keep(table, text)
    return table
