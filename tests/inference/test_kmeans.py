import numpy as np

from groundglass.evaluation.overlap import dice
from groundglass.inference.kmeans import CARD, SETS, label_by_kmeans, segment_by_kmeans
from groundglass.labels import Region, Tissue
from groundglass.scan import Scan
from tests.thorax import SHAPE, draw, ellipsoid, lungs

HAZE = ellipsoid((0, 35, -60), (24, 20, 24))
SOLID = ellipsoid((0, 0, 60), (14, 14, 14))


def test_haze_becomes_ground_glass_and_nothing_consolidation():
    told = []
    result = segment_by_kmeans(draw(haze=(HAZE, -600), noise_hu=20), told.append)
    truth = np.where(lungs()[0] | lungs()[1], 1, 0).astype(np.uint8)
    truth[HAZE] = 2
    assert dice(result.codes, truth, Region.GROUND_GLASS) > 0.8
    assert dice(result.codes, truth, Region.LUNG_FIELD) > 0.97
    assert not (result.codes == 3).any()
    assert result.model is CARD
    assert told == ["lung field", "clusters"]


def test_a_healthy_lung_stays_clean():
    assert not (segment_by_kmeans(draw(noise_hu=40)).codes > 1).any()


def test_nothing_to_see_is_no_error():
    for hu in (-1000, -850, 0):
        scan = Scan(np.full((2, 31, 45), hu, np.int16), np.diag([-2.0, -2, 4, 1]))
        assert not (segment_by_kmeans(scan).codes > 1).any()
        assert set(np.unique(label_by_kmeans(scan))) <= set(SETS)


def test_labels_say_what_grey_values_tell_and_no_more():
    sets = label_by_kmeans(draw(haze=(HAZE, -600), solid=(SOLID, 30), noise_hu=20))
    assert sets.shape == SHAPE
    assert sets.dtype == np.uint8
    assert set(np.unique(sets)) == set(SETS)
    inner = ellipsoid((0, 35, -60), (12, 10, 12))
    assert (sets[inner] == Tissue.GROUND_GLASS).mean() > 0.95
    assert (sets[SOLID] == Tissue.LUNG | Tissue.CONSOLIDATION).mean() > 0.9
    assert (sets[~(lungs()[0] | lungs()[1])] == Tissue.BACKGROUND).mean() > 0.98
