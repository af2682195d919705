"""The zoo: networks that this project trains, exports and deploys, each in a file of its own.

To add one, write ``zoo/networks/NAME.py`` with a ``build(**switches)`` that returns a
:class:`~mosaic_deploy.zoo.network.Network`, and name it in :data:`ZOO`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from mosaic_deploy.errors import SpecError

if TYPE_CHECKING:
    from mosaic_deploy.zoo.network import Network

__all__ = ["ZOO", "build_network"]

ZOO: Mapping[str, str] = MappingProxyType(
    {
        "deeplabv3plus": "mosaic_deploy.zoo.networks.deeplabv3plus",
        "lraspp": "mosaic_deploy.zoo.networks.lraspp",
        "mobileseg": "mosaic_deploy.zoo.networks.mobileseg",
        "mosaic": "mosaic_deploy.zoo.networks.mosaic",
        "pp_mobileseg": "mosaic_deploy.zoo.networks.pp_mobileseg",
        "topformer": "mosaic_deploy.zoo.networks.topformer",
    }
)
"""Name of a network -> the module that builds it. Torch is imported with the module, not before."""


def build_network(name: str, /, **switches: object) -> Network:
    """Make the network called ``name``, its weights drawn from torch's random generator.

    Args:
        name: a key of :data:`ZOO`.
        switches: the network's own, with values that a model card can hold.

    Raises:
        SpecError: no network has that name, or it has no such switch, or the value makes no sense.
    """
    from mosaic_deploy.specs.toml import nearest

    if name not in ZOO:
        known = sorted(ZOO)
        raise SpecError(f"unknown network {name!r}{nearest(name, known)}; the zoo has: {', '.join(known)}")
    network: Network = import_module(ZOO[name]).build(**switches)
    return network
