import numpy as np
import pytest

from groundglass.datasets import _stacks, _volumes
from groundglass.errors import LabelError
from tests.datasets.fake_publishers import TRUE_WINDOW_HU, grey, hounsfield

AFFINE = np.diag([-4.0, -4.0, 8.0, 1.0])


def test_lesions_and_lungs_say_more_together():
    lesions = np.array([3, 3, 4, 8, 1, 4], np.uint8)  # neither, neither, ground glass, consolidation, effusion, ...
    lungs = np.array([False, True, True, False, True, True])
    # background, lung, and lesions as they are, also outside of the lung field; an effusion is no lung
    assert _volumes.whole_labels(lesions, lungs).tolist() == [1, 2, 4, 8, 1, 4]
    assert _volumes.whole_labels(lesions, None).tolist() == lesions.tolist()
    assert _volumes.whole_labels(None, lungs).tolist() == [1, 14, 14, 1, 14, 14]
    assert _volumes.whole_labels(None, None) is None


def test_channels_become_sets():
    channels = np.array(
        [
            [1, 0, 0, 0],  # ground glass
            [0, 1, 0, 0],  # consolidation
            [0, 0, 1, 0],  # other lung
            [0, 0, 0, 1],  # background
            [1, 1, 0, 0],  # drawn as both: either of the two
            [1, 0, 1, 1],  # a lesion goes before what it was drawn on
            [0, 0, 1, 1],  # lung and background: either of the two
            [0, 0, 0, 0],  # nothing is known
        ]
    )
    assert _stacks.channel_sets(channels).tolist() == [4, 8, 2, 1, 12, 4, 3, 15]
    with pytest.raises(LabelError, match="holds 2"):
        _stacks.channel_sets(channels + 1)


@pytest.mark.parametrize("values", [[0.5], [-1.0], [256.0], [np.nan]])
def test_what_is_no_code_is_refused(values):
    with pytest.raises(LabelError, match="values that are no codes"):
        _volumes.to_codes(np.array(values))


def test_a_window_is_read_off_the_histogram_and_not_taken_on_trust():
    scan, told = _volumes.undo_window(grey().transpose(2, 1, 0), AFFINE, (-1250.0, 250.0))
    off = np.abs(scan.hu - np.clip(hounsfield(), *TRUE_WINDOW_HU))
    taken_on_trust = np.abs(grey() * (1500 / 255) - 1250 - np.clip(hounsfield(), *TRUE_WINDOW_HU))
    assert np.median(off) < 60 < 80 < np.median(taken_on_trust)
    assert "(peaks); its publisher states -1250 and 250" in told.text


def test_the_stated_window_is_what_is_left_where_soft_tissue_is_clipped():
    # seen through -1250 to -100 HU all soft tissue is white: no peak tells the window's width
    scan, told = _volumes.undo_window(grey((-1250, -100)).transpose(2, 1, 0), AFFINE, (-1250.0, 250.0))
    np.testing.assert_array_equal(scan.hu, np.rint(-1250 + grey((-1250, -100)) * (1500 / 255)))
    assert "(stated)" in told.text


def test_a_mirrored_affine_fills_the_same_box():
    mirrored = _volumes.mirrored(AFFINE, 1, 64)
    # voxel 0 of the one is voxel 63 of the other
    np.testing.assert_allclose(mirrored @ [5, 0, 2, 1], AFFINE @ [5, 63, 2, 1])
    np.testing.assert_allclose(mirrored @ [5, 63, 2, 1], AFFINE @ [5, 0, 2, 1])
