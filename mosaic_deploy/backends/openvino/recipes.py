"""Which recipes OpenVINO and NNCF can keep."""

from __future__ import annotations

from mosaic_deploy.errors import SpecError
from mosaic_deploy.specs.recipe import IntegerFormat, QuantRecipe


def require_possible(recipe: QuantRecipe) -> None:
    """Raise ``SpecError`` unless NNCF and OpenVINO's plugins have the recipe's grids and calibration."""
    weights, activations = recipe.weights, recipe.activations
    if not isinstance(weights, IntegerFormat) or not isinstance(activations, IntegerFormat):
        return
    why = ""
    if (weights.bits, activations.bits) != (8, 8):
        why = "its integers have 8 bits, weights and activations"
    elif not (weights.signed and weights.symmetric):
        why = "its weights are signed and symmetric"
    elif activations.per_channel:
        why = "its activations have one scale per tensor"
    elif recipe.calibration.method not in ("minmax", "percentile"):
        why = f"it has no calibration '{recipe.calibration.method}', only minmax and percentile"
    if why:
        raise SpecError(f"recipe {recipe.name} is not for OpenVINO: {why}")
