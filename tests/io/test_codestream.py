"""Heads of compressed images that would end the process inside GDCM are refused before."""

from __future__ import annotations

import struct

import pytest

from groundglass.io.codestream import sound_jpeg, sound_jpeg_2000


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg(rows: int = 12, columns: int = 10, depth: int = 16, tables: bytes = bytes([0, 1, *[0] * 15, 5])) -> bytes:
    frame = struct.pack(">BHHB", depth, rows, columns, 1) + b"\x01\x11\x00"
    scan = b"\x01\x01\x00\x01\x00\x00"
    huffman = segment(0xC4, tables) if tables else b""
    return b"\xff\xd8" + segment(0xC3, frame) + huffman + segment(0xDA, scan) + b"data\xff\xd9"


def jpeg_2000(rows: int = 12, columns: int = 10, depth: int = 16, components: int = 1) -> bytes:
    sizes = struct.pack(">H8I", 0, columns, rows, 0, 0, columns, rows, 0, 0) + struct.pack(">HB", components, depth - 1)
    return b"\xff\x4f" + b"\xff\x51" + struct.pack(">H", len(sizes) + 4) + sizes + b"\1\1"


def test_sound_heads() -> None:
    assert sound_jpeg(jpeg(), 12, 10, 16)
    assert sound_jpeg_2000(jpeg_2000(), 12, 10, 16)


@pytest.mark.parametrize(
    "stream",
    [
        jpeg(rows=65535),
        jpeg(columns=11),
        jpeg(depth=17),
        jpeg(tables=b""),
        jpeg(tables=bytes([0, *[255] * 16])),
        jpeg()[:20],
        jpeg()[2:],
        b"",
    ],
)
def test_jpegs_that_gdcm_would_abort_on(stream: bytes) -> None:
    assert not sound_jpeg(stream, 12, 10, 16)


@pytest.mark.parametrize(
    "stream", [jpeg_2000(rows=13), jpeg_2000(depth=48), jpeg_2000(components=3), jpeg_2000()[:30], b""]
)
def test_jpeg_2000_that_gdcm_would_abort_on(stream: bytes) -> None:
    assert not sound_jpeg_2000(stream, 12, 10, 16)
