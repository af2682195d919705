"""What pages quote from the TOML files is what the files say.

A value in a sentence is followed by a mark that says where it is from,
``0.01<!-- targets/dsp.toml: tolerance -->``, or ``<!-- default TargetSpec: tolerance -->``
for what holds where a file says nothing. Tables are generated.
"""

from __future__ import annotations

import re
import runpy
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mosaic_deploy import QuantRecipe, SpecError, TargetSpec, load_spec, spec_names
from mosaic_deploy.specs.recipe import Calibration, Search
from tests.test_docs import PAGES, ROOT

GENERATOR = ROOT / "docs" / "generate_values.py"
SCHEMAS: Mapping[str, type[BaseModel]] = {
    kind.__name__: kind for kind in (TargetSpec, QuantRecipe, Calibration, Search)
}
MARKED = {
    "README.md": 2,
    "docs/explanation/parity.md": 1,
    "docs/explanation/quantisation.md": 13,
    "docs/explanation/simulator.md": 1,
    "docs/how-to/ci-gate.md": 1,
    "docs/how-to/targets/cpu.md": 4,
    "docs/how-to/targets/dsp.md": 2,
    "docs/how-to/targets/edgetpu.md": 2,
    "docs/how-to/targets/gpu.md": 1,
    "docs/how-to/targets/openvino.md": 4,
    "docs/how-to/targets/ort-mobile.md": 4,
    "docs/how-to/validate-an-artifact.md": 1,
    "docs/reference/recipe.md": 6,
    "docs/reference/target.md": 4,
    "docs/tutorial/first-build.md": 1,
}
"""Page -> the least number of marks on it, so that none is lost when a sentence is rewritten."""

WORDS = {
    "signed": ("unsigned", "signed"),
    "symmetric": ("asymmetric", "symmetric"),
    "per_channel": ("tensor", "channel"),
}
"""Key of a switch -> how a page says no and yes."""

_MARK = re.compile(r"<!-- (?P<source>[\w/-]+\.toml|default \w+): (?P<key>[\w.]+) -->")
_ITEM = r"[`/]*v?(?P<item>[\w.-]*\w)[`/]*"
_BETWEEN = r"(?:, | and |,\n| and\n)"
_LIST = re.compile(rf"(?:{_ITEM.replace('?P<item>', '?:')}{_BETWEEN})*{_ITEM.replace('?P<item>', '?:')}$")


def stated(text: str, value: object, key: str) -> bool:
    """Whether a text ends with a value, as pages write it; of a list with all of it and no more."""
    if isinstance(value, bool):
        no, yes = WORDS[key.rpartition(".")[2]]
        return re.search(rf"\b{yes if value else no}$", text) is not None
    if isinstance(value, list | tuple):
        found = _LIST.search(text)
        items = [re.fullmatch(_ITEM, part) for part in re.split(_BETWEEN, found[0])] if found else []
        quoted = [item["item"] for item in items if item]
        known = [str(item) for item in value]
        before = quoted[-len(known) - 1 : -len(known)]
        return quoted[-len(known) :] == known and not any(re.match(r"\d|[a-z]+\d", word) for word in before)
    return re.search(rf"(?<![\w.]){re.escape(str(value))}`?$", text) is not None


def looked_up(source: str, key: str) -> object:
    """The value that a mark names; raises ``LookupError`` where there is none."""
    if source.startswith("default "):
        return SCHEMAS[source.removeprefix("default ")].model_fields[key].default
    path = ROOT / source
    if not path.is_file():
        raise LookupError(f"no file {source}")
    value: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    for part in key.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    found: object = value
    return found


def wrong(text: str) -> list[str]:
    """Marks of a page whose value is another, or whose source is not there."""
    found = []
    for mark in _MARK.finditer(text):
        try:
            value = looked_up(mark["source"], mark["key"])
        except LookupError as err:
            found.append(f"{mark[0]}: {err}")
            continue
        before = _MARK.sub("", text[max(0, mark.start() - 200) : mark.start()])
        if not stated(before, value, mark["key"]):
            found.append(f"{mark[0]}: is {value}, the page says '{before[-40:]}'")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_values_on_the_page_are_those_of_the_files(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert wrong(text) == []
    assert text.count("<!-- quant/") + text.count("<!-- targets/") + text.count("<!-- default ") == len(
        _MARK.findall(text)
    ), "a mark that is not read"


@pytest.mark.parametrize("name", MARKED)
def test_marks_are_not_lost(name: str) -> None:
    assert len(_MARK.findall((ROOT / name).read_text(encoding="utf-8"))) >= MARKED[name]


DROP, ARCHS = "<!-- targets/dsp.toml: tolerance -->", "<!-- targets/dsp.toml: options.archs -->"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        pytest.param(f"a drop of 0.01{DROP}", True, id="number"),
        pytest.param(f"a drop of 0.02{DROP}", False, id="another-number"),
        pytest.param(f"a drop of 10.01{DROP}", False, id="end-of-a-number"),
        pytest.param(f"for v68, v73 and v75{ARCHS}", True, id="list"),
        pytest.param(f"| `v68/`, `v73/`, `v75/`{ARCHS} |", True, id="folders"),
        pytest.param(f"for v68 and v75{ARCHS}", False, id="one-less"),
        pytest.param(f"for v68, v69, v73 and v75{ARCHS}", False, id="one-more"),
        pytest.param(f"for v65, v68, v73 and v75{ARCHS}", False, id="one-before"),
        pytest.param("by `percentile`<!-- quant/w8a8.toml: calibration.method -->", True, id="word"),
        pytest.param("by `minmax`<!-- quant/w8a8.toml: calibration.method -->", False, id="another-word"),
        pytest.param("are signed<!-- quant/w8a8.toml: weights.signed -->", True, id="switch"),
        pytest.param("are unsigned<!-- quant/w8a8.toml: weights.signed -->", False, id="switch-no"),
        pytest.param("0.01<!-- default TargetSpec: tolerance -->", True, id="default"),
        pytest.param("0.1<!-- default TargetSpec: tolerance -->", False, id="another-default"),
        pytest.param("8<!-- quant/w8a8.toml: weights.bit -->", False, id="no-such-key"),
        pytest.param("8<!-- quant/w8a88.toml: weights.bits -->", False, id="no-such-file"),
    ],
)
def test_a_value_that_went_stale_would_be_noticed(text: str, right: bool) -> None:
    assert (wrong(text) == []) is right


def test_the_tables_are_current() -> None:
    module = runpy.run_path(str(GENERATOR))
    found = set()
    for page in module["PAGES"]:
        text = page.read_text(encoding="utf-8")
        found |= set(module["blocks"](text))
        assert text == module["filled"](text), "run: uv run python docs/generate_values.py"
    assert found == {"recipes", "targets", *(f"target {name}" for name in spec_names(TargetSpec))}


def test_a_stale_table_would_be_noticed() -> None:
    module = runpy.run_path(str(GENERATOR))
    text = (ROOT / "docs" / "reference" / "recipe.md").read_text(encoding="utf-8")
    assert "`percentile` 99.999" in text
    stale = text.replace("`percentile` 99.999", "`minmax`")
    assert module["filled"](stale) == text != stale


@pytest.mark.parametrize("name", spec_names(TargetSpec))
def test_the_page_on_targets_names_every_option(name: str) -> None:
    page = (ROOT / "docs" / "reference" / "target.md").read_text(encoding="utf-8")
    target = load_spec(TargetSpec, name)
    start = page.find(f"| option of `{target.backend}` |")
    section = page[start : page.find("\n\n", start)] if start >= 0 else ""
    assert [key for key in target.options if f"| `{key}` |" not in section] == []


def test_the_page_on_exit_codes_quotes_the_line() -> None:
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_spec(TargetSpec, "dps")
    assert f"mosaic-deploy: {caught.value}\n" in page
