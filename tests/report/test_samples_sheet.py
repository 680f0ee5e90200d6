import io

import numpy as np
from PIL import Image

from groundglass.report.samples import Drawn, names_of, sheet, table
from groundglass.report.sheets import GAP, LINE, SIDE, spread


def plane(value):
    return np.full((4, 4), value, np.float32)


def test_a_row_shows_picture_reconstruction_difference_classes_and_styles():
    one = Drawn(plane(0.2), plane(0.6), np.full((4, 4), 1), np.stack([plane(0), plane(1), plane(0.5)]))
    sampled = Drawn(None, plane(1), np.zeros((4, 4), int), np.stack([plane(0)] * 3))
    drawn = np.asarray(Image.open(io.BytesIO(sheet([one, sampled], (3, 4, 8), "step 1"))))
    row = drawn[2 * LINE + SIDE // 2]
    seen = [row[place * (SIDE + GAP) + 90].tolist() for place in range(7)]
    assert seen == [[51] * 3, [153] * 3, [102] * 3, [230, 159, 0], [0] * 3, [255] * 3, [127] * 3]
    row = drawn[2 * LINE + SIDE + GAP + SIDE // 2]
    assert [row[place * (SIDE + GAP) + 90].tolist() for place in range(3)] == [[0] * 3, [255] * 3, [0] * 3]


def test_groups_have_names():
    assert names_of((3, 4, 8)) == ["background or lung", "ground-glass opacity", "consolidation"]
    assert names_of((15,)) == ["any"]
    assert names_of((3, 3, 12)) == [
        "background or lung 1",
        "background or lung 2",
        "ground-glass opacity or consolidation",
    ]


def test_a_table_leaves_empty_what_there_is_not():
    assert table([{"a": "x", "b": 0.12345678}, {"a": "y", "b": None, "c": 1234.4}]) == "a,b,c\nx,0.1235,\ny,,1234\n"


def test_slices_are_spread_evenly():
    assert spread([3, 4, 5, 6, 7], 3) == [3, 5, 7]
    assert spread([3, 4], 5) == [3, 4]
    assert spread([9], 4) == [9]
