"""Pictures: grey 8-bit ones are read, others refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundglass.errors import ReadError, ScanError, UsageError
from groundglass.io import read, write_labels
from groundglass.scan import GreyImage
from tests.io import made

GREY = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)


def test_grey_and_equal_channels_and_palettes(tmp_path: Path) -> None:
    palette = Image.fromarray(GREY % 4).convert("P")
    palette = Image.frombytes("P", (30, 20), (GREY % 4).tobytes())
    palette.putpalette([0, 0, 0, 50, 50, 50, 99, 99, 99, 200, 200, 200])
    images = {
        "l.png": (Image.fromarray(GREY), GREY),
        "rgb.png": (Image.fromarray(np.stack([GREY] * 3, -1)), GREY),
        "rgba.png": (Image.fromarray(np.stack([*[GREY] * 3, np.full_like(GREY, 255)], -1)), GREY),
        "p.png": (palette, np.array([0, 50, 99, 200], np.uint8)[GREY % 4]),
        "1.png": (Image.fromarray(GREY > 100), (GREY > 100) * np.uint8(255)),
    }
    for name, (image, wanted) in images.items():
        image.save(tmp_path / name)
        found = read(tmp_path / name)
        assert isinstance(found, GreyImage)
        np.testing.assert_array_equal(found.grey[0], wanted)
    assert "assumed" in made.texts(found)
    assert not found.source.spacing_known


def test_jpeg(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(20), np.arange(30)).astype(np.uint8)
    Image.fromarray(smooth).convert("RGB").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read(tmp_path / "a.jpg").grey[0].astype(int) - smooth).max() <= 3


def test_a_folder_in_natural_order(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        Image.fromarray(np.full((20, 30), number, np.uint8)).save(tmp_path / f"s{number}.png")
    assert read(tmp_path).grey[:, 0, 0].tolist() == [1, 2, 10]
    Image.fromarray(GREY[:10]).save(tmp_path / "s11.png")
    with pytest.raises(ScanError, match="30 x 20 and 30 x 10"):
        read(tmp_path)


def test_colour_16_bits_and_frames_are_refused(tmp_path: Path) -> None:
    colour = np.stack([GREY, GREY.T.reshape(20, 30), GREY], -1)
    Image.fromarray(colour).save(tmp_path / "a.png")
    with pytest.raises(ScanError, match="in colour"):
        read(tmp_path / "a.png")
    Image.fromarray(GREY.astype(np.uint16)).save(tmp_path / "b.png")
    with pytest.raises(ScanError, match="16 bits"):
        read(tmp_path / "b.png")
    Image.fromarray(colour).convert("CMYK").save(tmp_path / "c.jpg")
    with pytest.raises(ScanError, match="in colour"):
        read(tmp_path / "c.jpg")
    Image.fromarray(GREY).save(
        tmp_path / "d.png", save_all=True, append_images=[Image.fromarray(GREY.T.reshape(20, 30))]
    )
    with pytest.raises(ScanError, match="2 frames"):
        read(tmp_path / "d.png")


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bits_a_channel_are_refused_too(tmp_path: Path, colour_type: int, channels: int) -> None:
    """Pillow reads such files by the upper half of each value, which of 12 bits leaves 16 greys."""
    rows = b"".join(b"\0" + np.full((9, channels), 1000, ">u2").tobytes() for _ in range(8))
    head = struct.pack(">IIBBBBB", 9, 8, 16, colour_type, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    file = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    (tmp_path / "a.png").write_bytes(file)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (9, 8)
    with pytest.raises(ScanError, match="16 bits"):
        read(tmp_path / "a.png")


def test_truncated_and_bombs(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    Image.fromarray(GREY).save(tmp_path / "a.jpg")
    for name in ("a.png", "a.jpg"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(ReadError, match="truncated or damaged"):
            read(tmp_path / name)
    for side in (9000, 60000):
        head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
        (tmp_path / "b.png").write_bytes(bomb + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
        with pytest.raises((ReadError, ScanError)):
            read(tmp_path / "b.png")


def test_labels_are_palette_pngs_with_codes_as_values(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "JANE.png")
    found = read(tmp_path / "JANE.png")
    codes = found.grey % np.uint8(4)
    write_labels(tmp_path / "l.png", codes, found)
    back = Image.open(tmp_path / "l.png")
    assert back.mode == "P"
    np.testing.assert_array_equal(np.array(back), codes[0])
    assert back.getpalette()[6:9] == [230, 159, 0]
    write_labels(tmp_path / "labels", np.concatenate([codes, codes]), GreyImage(np.concatenate([found.grey] * 2)))
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == ["0001.png", "0002.png"]
    with pytest.raises(UsageError, match="no grid in space"):
        write_labels(tmp_path / "l.nii.gz", codes, found)
