"""Write ``docs/models.md`` and ``docs/field.md`` from the records of surveys, which ``docs/surveys/`` keeps.

uv run python docs/generate_models.py [--zoo survey/zoo] [--field survey/field]

A survey that is named takes the place of what is kept of the same networks on the same targets.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from mosaic_deploy import ModelCard, load_spec, spec_names
from mosaic_deploy.survey.pages import field_page, models_page, plot_miou
from mosaic_deploy.survey.survey import RECORD
from mosaic_deploy.survey.trial import Trial, from_json

DOCS = Path(__file__).parent
PLOT = "images/models.svg"
ZOO, FIELD = DOCS / "surveys" / "zoo.json", DOCS / "surveys" / "field.json"


def main() -> None:
    """Take over what was surveyed, and write the pages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", type=Path, help="directory of the zoo's survey")
    parser.add_argument("--field", type=Path, help="directory of the field's survey")
    asked = parser.parse_args()
    for folder, kept in ((asked.zoo, ZOO), (asked.field, FIELD)):
        if folder:
            keep(merged(read(kept), taken(folder)), kept)
    plot_miou(read(ZOO), DOCS / PLOT)
    for name, text in rendered().items():
        (DOCS / name).write_text(text, encoding="utf-8")


def rendered() -> dict[str, str]:
    """The pages by name, as the records that are kept give them."""
    cards = [load_spec(ModelCard, name) for name in spec_names(ModelCard)]
    plot = PLOT if (DOCS / PLOT).is_file() else ""
    return {
        "models.md": models_page(cards, read(ZOO), plot=plot),
        "field.md": field_page(read(FIELD)),
    }


def read(record: Path) -> list[Trial]:
    """The trials of a record; none where there is no such file."""
    if not record.is_file():
        return []
    return [from_json(trial) for trial in json.loads(record.read_text(encoding="utf-8"))["trials"]]


def taken(folder: Path) -> list[Trial]:
    """The trials of a survey's folder; ends the program where there is no record."""
    if not (folder / RECORD).is_file():
        raise SystemExit(f"{folder} has no {RECORD}: name the directory of a survey")
    return read(folder / RECORD)


def merged(kept: Sequence[Trial], new: Sequence[Trial]) -> list[Trial]:
    """All of them, the new ones in place of those of the same network and target; by name."""
    found = {(trial.network, trial.target): trial for trial in (*kept, *new)}
    return [found[pair] for pair in sorted(found)]


def keep(trials: Sequence[Trial], record: Path) -> None:
    """Write a record, a trial per line, so that a difference can be read."""
    record.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(trial.to_json(), sort_keys=True) for trial in trials)
    record.write_text(f'{{"schema": 1, "trials": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
