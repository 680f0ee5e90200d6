"""The head of a compressed image, checked before GDCM sees it.

On some damage GDCM does not refuse but ends the whole process (an exception that leaves C++). Fuzzing found
these: sizes unlike the header's, a depth beyond the pixels', Huffman tables that are absent or too long.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

_FRAMES: Final = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})  # start of frame; 0xF7 is JPEG-LS
_HUFFMAN, _SCAN, _JPEG_LS = 0xC4, 0xDA, 0xF7


def sound_jpeg(stream: bytes, rows: int, columns: int, bits: int) -> bool:
    """Whether a JPEG or JPEG-LS stream announces one grey plane of this size and at most this depth."""
    seen: dict[int, bytes] = {}
    for marker, segment in _segments(stream):
        if marker == _HUFFMAN and not _sound_huffman(segment):
            return False
        seen[marker] = segment
        if marker == _SCAN:
            break
    frames = [marker for marker in seen if marker in _FRAMES]
    if _SCAN not in seen or len(frames) != 1 or (frames[0] != _JPEG_LS and _HUFFMAN not in seen):
        return False
    frame, scan = seen[frames[0]], seen[_SCAN]
    if len(frame) != 9 or len(scan) != 6 or scan[0] != 1 or scan[1] != frame[6]:
        return False
    depth, height, width, components = struct.unpack(">BHHB", frame[:6])
    return (height, width, components) == (rows, columns, 1) and 2 <= depth <= bits


def _segments(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and their contents up to the first scan; ends early where the stream is no JPEG."""
    place = 2 if stream[:2] == b"\xff\xd8" else len(stream)
    while place + 4 <= len(stream) and stream[place] == 0xFF:
        marker, length = stream[place + 1], int.from_bytes(stream[place + 2 : place + 4], "big")
        if marker == 0xFF:  # a byte of filling
            place += 1
            continue
        if length < 2 or place + 2 + length > len(stream):
            return
        yield marker, stream[place + 4 : place + 2 + length]
        place += 2 + length


def _sound_huffman(tables: bytes) -> bool:
    while len(tables) >= 17:
        count = sum(tables[1:17])
        if tables[0] & 0x0F > 3 or count > 256 or len(tables) < 17 + count:
            return False
        tables = tables[17 + count :]
    return not tables


def sound_jpeg_2000(stream: bytes, rows: int, columns: int, bits: int) -> bool:
    """Whether a JPEG 2000 stream announces one grey plane of this size and at most this depth."""
    start = stream[:4096].find(b"\xff\x4f\xff\x51")  # start of codestream, then its sizes
    sizes = stream[start + 4 : start + 45]
    if start < 0 or len(sizes) < 41:
        return False
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top = struct.unpack(">8I", sizes[4:36])
    components, depth = struct.unpack(">HB", sizes[36:39])
    whole_plane = (bottom - top, right - left) == (rows, columns)
    tiled = tile_width > 0 < tile_height and tile_left <= left and tile_top <= top
    return whole_plane and tiled and components == 1 and (depth & 0x7F) < bits and sizes[39:41] == b"\1\1"
