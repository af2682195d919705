"""Reading image files: what decodes is 8-bit pixels, what does not is one DataError that names the file."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mosaic_deploy.datasets.images import read_image, read_label
from mosaic_deploy.errors import DataError

FORMATS = ("png", "jpg", "webp", "bmp", "tiff", "ppm")


def noise(
    seed: int = 0, shape: tuple[int, ...] = (9, 7, 3)
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def png(width: int, height: int, *, depth: int = 8, colour: int = 0, data: bytes = b"\0\0") -> bytes:
    """A PNG made by hand: any size and depth, whatever the pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def outcome(path: Path) -> str:
    try:
        return "read" if read_image(path).ndim == 3 else "wrong shape"
    except DataError as err:
        return "refused" if str(err).startswith(f"{path}: ") else str(err)


def one_line(err: pytest.ExceptionInfo[DataError], path: Path) -> str:
    message = str(err.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm"])
def test_lossless_formats_keep_every_pixel(tmp_path: Path, suffix: str) -> None:
    pixels = noise()
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    assert np.array_equal(read_image(tmp_path / f"a.{suffix}"), pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_8_bit_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.tiff"
    Image.fromarray(noise()).convert(mode).save(path)
    read = read_image(path)
    assert read.shape == (9, 7, 3)
    assert read.dtype == np.uint8


def test_transparent_palette_is_read_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(noise(shape=(4, 4)) % 4).convert("P").save(path, transparency=b"\0\x80")
    assert read_image(path).shape == (4, 4, 3)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32], ids=["16-bit", "32-bit", "float"])
def test_more_than_8_bits_are_refused(tmp_path: Path, dtype: type[np.generic]) -> None:
    path = tmp_path / "a.tiff"
    Image.fromarray(np.full((4, 4), 300, dtype)).save(path)
    with pytest.raises(DataError) as err:
        read_image(path)
    assert "8 bits" in one_line(err, path)
    with pytest.raises(DataError) as err:
        read_label(path)
    assert "label map" in one_line(err, path)


def test_16_bit_grey_png_is_no_label_map(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.full((4, 4), 7, np.uint16)).save(path)
    with pytest.raises(DataError) as err:
        read_label(path)
    assert "mode I;16" in one_line(err, path)


def test_rgb_label_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(noise()).save(path)
    with pytest.raises(DataError) as err:
        read_label(path)
    assert "mode RGB" in one_line(err, path)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_packed_grey_label_is_refused(tmp_path: Path, depth: int) -> None:
    """Pillow would stretch the ids 0, 1, 2 of a 4-bit file to 0, 17, 34."""
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 1, depth=depth, data=b"\0\x12"))
    with pytest.raises(DataError) as err:
        read_label(path)
    one_line(err, path)


@pytest.mark.parametrize("colours", [2, 5, 200])
def test_palette_label_gives_its_indices(tmp_path: Path, colours: int) -> None:
    ids = noise(shape=(9, 7)) % colours
    image = Image.fromarray(ids).convert("P")
    image.putpalette([c for i in range(256) for c in (255 - i, i, 3)])
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_label(tmp_path / "a.png"), ids)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("keep", [0.0, 0.03, 0.5, 0.9], ids=["empty", "head", "half", "most"])
def test_truncated_file_is_refused(tmp_path: Path, suffix: str, keep: float) -> None:
    buffer = io.BytesIO()
    Image.fromarray(noise(shape=(64, 64, 3))).save(buffer, "JPEG" if suffix == "jpg" else suffix.upper())
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(buffer.getvalue()[: int(buffer.tell() * keep)])
    with pytest.raises(DataError) as err:
        read_image(path)
    assert "not a readable image" in one_line(err, path)


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(suffix=st.sampled_from(FORMATS), data=st.data())
def test_damaged_file_decodes_or_is_refused(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    Image.fromarray(noise()).save(buffer, "JPEG" if suffix == "jpg" else suffix.upper())
    raw = bytearray(buffer.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=6)):
        raw[place] = data.draw(st.integers(0, 255))
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(raw)
    assert outcome(path) in ("read", "refused")


@pytest.mark.parametrize(
    ("width", "height"),
    [(8001, 8000), (10_000, 10_000), (200_000, 200_000)],
    ids=["over-ours", "over-pillows-warning", "over-pillows-error"],
)
def test_huge_image_is_refused_unread(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(width, height))
    with pytest.raises(DataError) as err:
        read_image(path)
    one_line(err, path)


@pytest.mark.parametrize("kind", ["missing", "text", "folder"])
def test_what_is_no_image_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    if kind == "text":
        path.write_text("hello")
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(DataError) as err:
        read_image(path)
    one_line(err, path)


@pytest.mark.parametrize(
    ("upright", "shape"), [(False, (9, 7, 3)), (True, (7, 9, 3))], ids=["as-is", "upright"]
)
def test_orientation_is_followed_where_asked(tmp_path: Path, upright: bool, shape: tuple[int, ...]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise()).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg", upright=upright).shape == shape
