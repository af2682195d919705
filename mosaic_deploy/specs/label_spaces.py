"""The label spaces that cards and data sets name: classes, colours, and what no metric counts.

Sources: the SegNet tutorial for CamVid's 11 classes; cityscapesScripts for Cityscapes; MLCommons'
mobile_open for the 31 classes of ADE20K, whose id 0 is an output of the network that is never scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mosaic_deploy.specs.labels import LabelSpace

CAMVID = LabelSpace(
    classes=(
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign symbol",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
    palette=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
)
CITYSCAPES = LabelSpace(
    classes=(
        "road",
        "sidewalk",
        "building",
        "wall",
        "fence",
        "pole",
        "traffic light",
        "traffic sign",
        "vegetation",
        "terrain",
        "sky",
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "train",
        "motorcycle",
        "bicycle",
    ),
    palette=(
        (128, 64, 128),
        (244, 35, 232),
        (70, 70, 70),
        (102, 102, 156),
        (190, 153, 153),
        (153, 153, 153),
        (250, 170, 30),
        (220, 220, 0),
        (107, 142, 35),
        (152, 251, 152),
        (70, 130, 180),
        (220, 20, 60),
        (255, 0, 0),
        (0, 0, 142),
        (0, 0, 70),
        (0, 60, 100),
        (0, 80, 100),
        (0, 0, 230),
        (119, 11, 32),
    ),
)
_ADE20K31 = (
    "other", "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass",
    "cabinet", "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair",
    "car", "water", "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair",
)  # fmt: skip


def _colour(index: int) -> tuple[int, int, int]:
    """Colours of our own: the two highest bits count the id, so that near ids look different."""
    bits = [(index >> place) & 1 for place in range(6)]
    return (bits[0] * 128 + bits[3] * 64, bits[1] * 128 + bits[4] * 64, bits[2] * 128 + bits[5] * 64)


ADE20K31 = LabelSpace(_ADE20K31, tuple(_colour(i) for i in range(len(_ADE20K31))), unscored=(0,))

LABEL_SPACES: Mapping[str, LabelSpace] = MappingProxyType(
    {"ade20k31": ADE20K31, "camvid": CAMVID, "cityscapes": CITYSCAPES}
)
