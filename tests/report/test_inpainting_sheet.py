import io

import numpy as np
import pytest
from PIL import Image

from groundglass.report.inpainting import Inpainted, sheet, table
from groundglass.report.sheets import GAP, LINE, SIDE


def one(mask):
    return Inpainted("a/1", np.full((4, 4), 0.5, np.float32), mask, np.full((4, 4), 0.75, np.float32))


def half():
    mask = np.ones((4, 4), np.float32)
    mask[:, 2:] = 0
    return mask


def test_numbers_by_hand():
    mine = one(half())
    mine.filled[:, 2:] = 0.4
    assert mine.erased == 0.5
    assert mine.error(kept=True) == pytest.approx(0.25)
    assert mine.error(kept=False) == pytest.approx(0.1)
    assert table([mine]) == "slice,erased,error_on_erased,error_on_kept\na/1,0.5000,0.1000,0.2500\n"
    assert table([one(np.ones((4, 4), np.float32))]).splitlines()[1] == "a/1,0.0000,,0.2500"


def test_the_sheet_has_a_row_a_slice_and_what_is_erased_is_blue():
    drawn = np.asarray(Image.open(io.BytesIO(sheet([one(half())] * 2, "step 1"))))
    assert drawn.shape == (2 * LINE + 2 * (SIDE + GAP), 4 * (SIDE + GAP), 3)
    row = drawn[2 * LINE + SIDE // 2]
    seen = [row[place * (SIDE + GAP) + SIDE - 10].tolist() for place in range(4)]
    assert seen == [[127] * 3, [0, 114, 178], [191] * 3, [63] * 3]
    assert row[SIDE + GAP + 10].tolist() == [127] * 3
