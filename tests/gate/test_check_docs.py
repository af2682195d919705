"""The pages about the check name what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mosaic_deploy.gate.config import FILE, ProjectConfig, Waiver, read_config
from mosaic_deploy.gate.formats.registry import FORMATS
from tests.gate.gate_models import hostile

DOCS = Path(__file__).resolve().parents[2] / "docs"


def keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from () if key in ("operators", "waiver") else keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def test_the_config_page_names_every_key() -> None:
    page = (DOCS / "reference" / "project-config.md").read_text(encoding="utf-8")
    fields = [*ProjectConfig.model_fields.items(), *Waiver.model_fields.items()]
    assert [name for name, field in fields if f"`{field.alias or name}`" not in page] == []


def test_the_report_page_names_every_key() -> None:
    pages = [
        (DOCS / "reference" / name).read_text(encoding="utf-8") for name in ("check-report.md", "json.md")
    ]
    record = hostile().to_json()
    found = set(keys({key: value for key, value in record.items() if "waivers" not in key}))
    assert [key for key in sorted(found) if f"`{key}`" not in "".join(pages)] == []


def test_the_check_page_names_every_format() -> None:
    page = (DOCS / "how-to" / "check.md").read_text(encoding="utf-8")
    assert [name for name in FORMATS if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    "page",
    ["how-to/waivers.md", "how-to/ci-gate.md", "reference/project-config.md"],
)
def test_config_examples_load(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        (tmp_path / FILE).write_text(block, encoding="utf-8")
        read_config(tmp_path / FILE)
