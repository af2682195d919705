"""Backbones out of timm, which is imported only where one is asked for."""

from __future__ import annotations

from typing import Any

from mosaic_deploy.errors import ToolError


def timm_model(name: str, **arguments: Any) -> Any:
    """Make timm's model of that name with random weights; nothing is downloaded.

    Raises ``ToolError`` where timm is missing.
    """
    try:
        import timm
    except ModuleNotFoundError as err:
        raise ToolError(
            f"the backbone {name} comes from timm, and {err.name} is missing: "
            "pip install 'mosaic-deploy[zoo]' (in a clone: uv sync --inexact --extra zoo)"
        ) from err
    return timm.create_model(name, pretrained=False, **arguments)
