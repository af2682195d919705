"""Write ``docs/models.md`` and ``docs/field.md`` from the records of surveys.

uv run mosaic-deploy zoo && uv run mosaic-deploy field
uv run python docs/generate_models.py --zoo survey/zoo --field survey/field
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mosaic_deploy import ModelCard, load_spec, spec_names
from mosaic_deploy.survey.field.recipes import read_left_out
from mosaic_deploy.survey.pages import field_page, models_page, plot_miou
from mosaic_deploy.survey.survey import RECORD
from mosaic_deploy.survey.trial import Trial, from_json

DOCS = Path(__file__).parent
PLOT = "images/models.svg"


def main() -> None:
    """Write the page of each survey that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", type=Path, help="directory of the zoo's survey")
    parser.add_argument("--field", type=Path, help="directory of the field's survey")
    asked = parser.parse_args()
    if asked.zoo:
        trials = read(asked.zoo)
        cards = [load_spec(ModelCard, name) for name in spec_names(ModelCard)]
        drawn = plot_miou(trials, DOCS / PLOT)
        page = models_page(cards, trials, plot=PLOT if drawn else "")
        (DOCS / "models.md").write_text(page, encoding="utf-8")
    if asked.field:
        (DOCS / "field.md").write_text(field_page(read(asked.field), read_left_out()), encoding="utf-8")


def read(folder: Path) -> list[Trial]:
    """The trials that a survey's table shows."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return [from_json(trial) for trial in record["trials"]]


if __name__ == "__main__":
    main()
