from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from groundglass.labels import Region
from groundglass.report.figures import Plane, data_uri, draw, outline, windowed


def points(path: str) -> list[set[tuple[float, float]]]:
    """The corners (x, y), in pixels, of each loop of a path in half pixels."""
    loops = []
    for start, moves in re.findall(r"M(\S+?)l([^z]*)z", path):
        x, y = (int(n) for n in start.split(","))
        corners = {(x / 2, y / 2)}
        for move in moves.split():
            dx, dy = (int(n) for n in move.split(","))
            x, y = x + dx, y + dy
            corners.add((x / 2, y / 2))
        loops.append(corners)
    return loops


def test_outline_of_a_square_runs_along_the_edges_of_its_pixels():
    mask = np.zeros((8, 9), bool)
    mask[2:5, 3:7] = True  # rows 2 to 4, columns 3 to 6: edges at y = 2 and 5, x = 3 and 7
    assert points(outline(mask)) == [{(3, 2.5), (3.5, 2), (6.5, 2), (7, 2.5), (7, 4.5), (6.5, 5), (3.5, 5), (3, 4.5)}]


def test_outline_of_a_pixel_in_the_corner_is_a_diamond_inside_the_picture():
    mask = np.zeros((3, 3), bool)
    mask[0, 0] = True
    assert points(outline(mask)) == [{(0, 0.5), (0.5, 0), (1, 0.5), (0.5, 1)}]


def test_outline_has_a_loop_for_each_piece_and_for_a_hole():
    mask = np.zeros((9, 20), bool)
    mask[1:8, 1:8] = mask[1:8, 12:19] = True
    mask[4, 4] = False
    loops = points(outline(mask))
    assert len(loops) == 3
    assert {(4, 4.5), (4.5, 4), (5, 4.5), (4.5, 5)} in loops


def test_nothing_has_no_outline():
    assert outline(np.zeros((4, 4), bool)) == ""


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_window_is_black_at_minus_1350_and_white_at_150(kind):
    hu = np.array([[-3000, -1350, -600, 150, 3000]], kind)
    assert windowed(hu).tolist() == [[0, 0, 128, 255, 255]]


def test_picture_is_embedded_at_the_size_asked_for():
    uri = data_uri(np.full((10, 20), 77, np.uint8), (40, 20))
    kind, data = uri.split(",")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == "data:image/jpeg;base64"
    assert picture.size == (40, 20)
    assert abs(int(np.asarray(picture).mean()) - 77) <= 1


def test_a_picture_is_as_wide_and_high_as_the_plane_is_in_mm():
    codes = np.zeros((10, 20), np.uint8)
    codes[2:8, 2:18], codes[4:6, 4:6] = 1, 2
    picture = draw(Plane(np.zeros((10, 20), np.int16), codes, (5.0, 0.5)), 100, alt="", caption="")
    assert (picture.width, picture.height, picture.pixel) == (10.0, 50.0, (0.25, 2.5))
    assert [outline.region for outline in picture.outlines] == [Region.LUNG_FIELD, Region.GROUND_GLASS]
    assert Image.open(io.BytesIO(base64.b64decode(picture.uri.split(",")[1]))).size == (20, 100)


def test_the_lungs_outline_holds_what_is_infected_in_it():
    codes = np.ones((6, 6), np.uint8)
    codes[2:4, 2:4] = 3
    lung = draw(Plane(np.zeros((6, 6), np.int16), codes, (1, 1)), 6, alt="", caption="").outlines[0]
    assert len(points(lung.path)) == 1
