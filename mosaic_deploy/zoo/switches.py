"""Turning a card's plain values into a network's frozen configuration, or saying what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from mosaic_deploy.errors import SpecError
from mosaic_deploy.specs.toml import nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def configure[C: DataclassInstance](config: type[C], switches: Mapping[str, object]) -> C:
    """Make ``config`` from switches that hold what TOML can: numbers, strings, booleans and lists.

    Types are taken strictly: ``"64"`` and ``64.0`` are no integers, ``1`` is no boolean.

    Raises:
        SpecError: an unknown switch, or a value that its field does not take.
    """
    known = [field.name for field in fields(config)]
    for name in switches:
        if name not in known:
            raise SpecError(f"unknown switch {name!r}{nearest(name, known)}; known: {', '.join(known)}")
    try:
        text = json.dumps(dict(switches))
    except (TypeError, ValueError) as err:
        raise SpecError(f"switches hold numbers, strings, booleans and lists only: {err}") from err
    try:
        return TypeAdapter(config).validate_json(text, strict=True)
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise SpecError(f"switch {where}: {what}" if where else what) from err
