"""Write ``docs/reference/op-tables/`` from ``targets/ops/``: ``uv run python docs/generate_op_tables.py``.

A test compares the pages with what this program makes, so a rule cannot change without its page.
"""

from __future__ import annotations

from pathlib import Path

from mosaic_deploy.gate.op_support.pages import pages

FOLDER = Path(__file__).parent / "reference" / "op-tables"


def main() -> None:
    """Write every page, and remove those of tables that are gone."""
    FOLDER.mkdir(exist_ok=True)
    made = pages(FOLDER)
    for old in set(FOLDER.glob("*.md")) - set(made):
        old.unlink()
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
