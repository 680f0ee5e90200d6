from __future__ import annotations

import base64
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from groundglass.report import views
from groundglass.report.figures import windowed
from groundglass.scan import Source


def viewer(content) -> views.Viewer:
    overview = views.look_over(content.segmentation.codes)
    frame = views.frame_lungs(overview, content.scan)
    return views.Viewer(content.scan, content.segmentation, content.burden, overview, frame)


def test_an_overview_counts_codes_by_slice_and_place():
    codes = np.zeros((3, 2, 4), np.uint8)
    codes[1] = [[1, 1, 2, 3], [0, 0, 2, 0]]
    codes[2, 0, 0] = 3
    overview = views.look_over(codes)
    assert overview.counts.tolist() == [[8, 0, 0, 0], [3, 2, 2, 1], [7, 0, 0, 1]]
    assert overview.infected.tolist() == [[1, 0, 1, 1], [0, 0, 1, 0]]
    assert overview.lung.tolist() == [[2, 1, 1, 1], [0, 0, 1, 0]]
    assert overview.lung_slices.tolist() == [1, 2]


def lung_of(slices: int, *infected: int) -> views.Overview:
    codes = np.ones((slices, 1, 2), np.uint8)
    codes[list(infected), 0, 0] = 2
    return views.look_over(codes)


def test_most_affected_slices_are_the_highest_scores_kept_apart():
    scores = [0.0] * 40
    scores[10], scores[11], scores[12], scores[30], scores[36] = 0.8, 0.9, 0.7, 0.5, 0.2
    # 40 slices: at least four apart
    assert views.most_affected(tuple(scores), lung_of(40, 10, 11, 12, 30, 36)) == (11, 30, 36)


def test_fewer_affected_slices_are_fewer_pictures():
    assert views.most_affected((0.0, 0.4, 0.0, 0.0), lung_of(4, 1)) == (1,)


def test_equal_scores_are_ordered_by_what_is_infected():
    codes = np.ones((3, 1, 4), np.uint8)
    codes[0, 0, :1] = codes[1, 0, :3] = codes[2, 0, :2] = 2
    assert views.most_affected((1.0, 1.0, 1.0), views.look_over(codes)) == (1, 2, 0)


def test_without_infection_slices_are_spread_over_the_lung():
    assert views.most_affected((0.0,) * 12, lung_of(12)) == (2, 6, 10)


def test_a_frame_holds_the_lungs_and_a_margin(make):
    content = make()
    frame = views.frame_lungs(views.look_over(content.segmentation.codes), content.scan)
    _, rows, columns = np.nonzero(content.segmentation.codes)
    margin = round(views.MARGIN_MM / 5)  # pixels are 5 mm
    assert (frame.y.start, frame.y.stop) == (rows.min() - margin, rows.max() + margin + 1)
    assert (frame.x.start, frame.x.stop) == (columns.min() - margin, columns.max() + margin + 1)


def test_a_coronal_view_has_the_head_up_and_a_sagittal_one_the_front_on_the_left(make):
    content = make((24, 64, 64))
    hu = np.array(content.scan.hu)
    hu[-1] = 3000  # the head: white
    hu[:, 0] = 3000  # the front: white
    content = dataclasses.replace(content, scan=dataclasses.replace(content.scan, hu=hu))
    whole = views.Frame(slice(None), slice(None), slice(None))
    drawn = dataclasses.replace(viewer(content), frame=whole)
    coronal, sagittal = pixels(drawn.coronal().uri), pixels(drawn.sagittal().uri)
    assert coronal[2].mean() > 240 > coronal[-3].mean()
    assert sagittal[:, 2].mean() > 240 > sagittal[:, -3].mean()


def test_a_slice_is_shown_as_it_is_stored(make):
    content = make((3, 64, 64))
    whole = views.Frame(slice(None), slice(None), slice(None))
    picture = dataclasses.replace(viewer(content), frame=whole).axial(1, large=True)
    assert picture.marks == ("R", "L")
    grey = np.asarray(Image.fromarray(windowed(content.scan.hu[1])).resize((800, 800), Image.Resampling.BICUBIC))
    assert np.abs(pixels(picture.uri).astype(int) - grey.astype(int)).mean() < 4


def test_words_on_the_coronal_view_stand_at_the_side_of_their_lung(make):
    picture = viewer(make()).coronal()
    assert {word.text for word in picture.words if word.x < 0} >= {"R upper", "R middle", "R lower"}
    assert {word.text for word in picture.words if word.x > picture.width} >= {"L upper", "L middle", "L lower"}
    heights = {word.text: word.y for word in picture.words}
    assert heights["R upper"] < heights["R middle"] < heights["R lower"]


def test_words_on_the_coronal_view_are_short_enough_for_the_side(make):
    content = make()
    zones = tuple(
        dataclasses.replace(
            zone,
            amounts={region: dataclasses.replace(amount, volume_ml=0.01, percent_of_lung=0.01)
                     for region, amount in zone.amounts.items()},
        )
        for zone in content.burden.zones
    )  # fmt: skip
    burden = dataclasses.replace(content.burden, zones=zones)
    words = [
        word.text.replace("\N{NO-BREAK SPACE}", " ")
        for word in viewer(dataclasses.replace(content, burden=burden)).coronal().words
    ]
    assert {"R upper", "< 0.1 mL", "< 0.1 %"} <= set(words)
    assert max(map(len, words)) < 10


def test_lines_between_thirds_lie_on_the_edges_of_slices(make):
    content = make()
    drawn = dataclasses.replace(viewer(content), frame=views.Frame(slice(None), slice(None), slice(None)))
    upper, middle = (content.burden.zone("right", third).first_slice for third in ("upper", "middle"))
    step = content.scan.spacing_mm[0]
    ours = sorted(line.y1 for line in drawn.coronal().lines if line.x1 == 0)
    assert ours == pytest.approx([(24 - upper) * step, (24 - middle) * step])


def test_without_known_sides_there_are_no_marks(make):
    content = make(source=Source(sides_known=False))
    drawn = viewer(content)
    assert drawn.axial(12, large=True).marks == drawn.coronal().marks == drawn.sagittal().marks == ()


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))
