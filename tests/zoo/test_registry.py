"""The zoo's one registry."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from mosaic_deploy.errors import SpecError
from mosaic_deploy.zoo import ZOO, build_network
from mosaic_deploy.zoo.network import Network


def test_importing_the_zoo_loads_no_torch() -> None:
    code = "import sys, mosaic_deploy.zoo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(ZOO))
def test_every_network_builds_and_has_the_three_heads(name: str) -> None:
    assert find_spec(ZOO[name]) is not None
    with torch.device("meta"):
        net = build_network(name, head="lowres").eval()
        image = torch.empty(1, 3, 256, 256)
    assert isinstance(net, Network)
    assert net.head == "lowres"
    scores = net(image)
    assert scores.shape == net.scores(image).shape
    net.head = "logits"
    assert net(image).shape == (1, scores.shape[1], 256, 256)
    net.head = "classmap"
    assert net(image).shape == (1, 256, 256)


def test_an_unknown_network_is_named_with_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"'mosiac' \(did you mean 'mosaic'\?\)"):
        build_network("mosiac")
