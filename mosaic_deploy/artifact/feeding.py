"""How an app turns the pixels of an image into an artifact's input, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mosaic_deploy.specs.contract import Contract


def how_to_feed(contract: Contract, stated: object) -> str:
    """Say it for a person.

    Args:
        contract: the artifact's.
        stated: what the backend says of the input: ``shape``, ``dtype``, ``scale`` and ``zero_point`` (None
            where it is no grid), and ``pixel_factor`` and ``pixel_offset`` where an integer of the grid is
            factor * pixel + offset.
    """
    source: Mapping[str, object] = stated if isinstance(stated, Mapping) else {}
    shape = source.get("shape")
    sides = "x".join(str(side) for side in shape) if isinstance(shape, Sequence) else "?"
    tensor = f"{source.get('dtype', contract.dtype)} {contract.layout} {sides}"
    factor, scale = source.get("pixel_factor"), source.get("scale")
    if factor is not None or contract.dtype == "uint8":
        times = "" if factor in (None, 1) else f" times {factor}"
        offset = source.get("pixel_offset")
        moved = f" {int(str(offset)):+d}" if offset else ""
        return f"{contract.colour} pixels as they are{times}{moved}, {tensor}"
    numbers = f"({contract.colour} pixel - {_listed(contract.mean)}) / {_listed(contract.scale)}"
    if contract.mean == (0.0, 0.0, 0.0) and contract.scale == (1.0, 1.0, 1.0):
        numbers = f"{contract.colour} pixels as they are, 0 to 255"
    if scale is None:
        return f"{numbers}, {tensor}"
    return f"round({numbers} / {float(str(scale)):.6g}) {int(str(source['zero_point'])):+d}, {tensor}"


def _listed(numbers: Sequence[float]) -> str:
    if len({*numbers}) == 1:
        return f"{numbers[0]:g}"
    return f"[{', '.join(f'{number:g}' for number in numbers)}]"
