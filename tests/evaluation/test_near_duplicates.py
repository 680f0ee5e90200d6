import numpy as np
import pytest

from groundglass.errors import UsageError
from groundglass.evaluation.near_duplicates import NEAR_DUPLICATE, alike, near_duplicates, views
from groundglass.phantom import phantom_slices
from groundglass.preprocess.orient import ORIENTATIONS, orient


def windowed(hu, black=-1350, white=150):
    return np.clip((hu.astype(np.float32) - black) / (white - black), 0, 1)


@pytest.fixture(scope="module")
def patients():
    """Three slices of each of four patients, HU (4, 3, 192, 192)."""
    return np.stack([phantom_slices(seed, 3, size=192).hu for seed in range(40, 44)])


@pytest.fixture(scope="module")
def seen(patients):
    return [views(windowed(patient[1])) for patient in patients]


def trimmed(picture, share):
    rows, columns = (round(share * side) for side in picture.shape)
    return picture[rows:-rows, columns:-columns]


def crop_of_lungs(picture):
    """The body without the air around it: as publishers cut slices, lungs near the border."""
    return picture[38:-38, 22:-22]


def test_a_view_has_no_mean_and_length_one():
    picture = np.zeros((64, 64), np.float32)
    picture[:, 32:] = 3
    view = views(picture)[0]
    # 64 x 64 pixels of mean 1.5 and +-1.5 about it: each is +-1 / 64 at length 1, but for the blur at the edge
    assert view[0, 0] == pytest.approx(-1 / 64, rel=0.05)
    assert view[0, -1] == pytest.approx(1 / 64, rel=0.05)
    assert abs(view.mean()) < 1e-6
    assert np.linalg.norm(view) == pytest.approx(1)


def test_what_shows_nothing_is_like_nothing():
    empty = views(np.full((50, 40), 7, np.uint8))
    assert not empty.any()
    assert near_duplicates([empty], [empty]) == alike([empty], [empty]) == []
    assert near_duplicates([empty], []) == alike([empty], []) == []


@pytest.mark.parametrize("picture", [np.zeros((2, 8, 8)), np.full((8, 8), np.nan), np.zeros((0, 8))])
def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(UsageError, match="finite"):
        views(picture)


def test_correlation_as_framed_by_hand():
    rng = np.random.default_rng(0)
    one, noise = rng.normal(size=(2, 1, 64, 64)).astype(np.float32)
    noise -= noise.mean() + one * (noise * one).sum() / (one * one).sum()  # so that the correlation is known:
    mixed = 0.8 * one / np.linalg.norm(one) + 0.6 * noise / np.linalg.norm(noise)
    unit = (one - one.mean()) / np.linalg.norm(one - one.mean())
    (match,) = alike([unit], [(mixed - mixed.mean()) / np.linalg.norm(mixed - mixed.mean())], least=0.5)
    assert match.score == pytest.approx(0.8, abs=0.005)  # .8 / sqrt(.64 + .36)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_is_found_and_named(patients, seen, orientation):
    lying = views(orient(windowed(patients[2, 1]), orientation))
    best = near_duplicates([lying], seen)[0]
    assert best.second == 2
    assert best.score > 0.98
    marks = np.arange(6).reshape(2, 3)
    assert np.array_equal(orient(orient(marks, orientation), best.orientation), marks)
    assert alike([lying], seen)[0].orientation == best.orientation


def altered(name, hu, rng):
    picture = windowed(hu)
    return {
        "another window": windowed(hu, -1000, 400),
        "brightness": np.uint8(30 + 150 * picture),
        "gamma": picture**1.3,
        "noise": picture + rng.normal(0, 0.05, picture.shape),
        "cropped by 5 %": trimmed(picture, 0.05),
        "half the size": picture[::2, ::2],
        "squeezed": picture[:, ::2],
        "padded": np.pad(picture, ((10, 30), (60, 0))),
        "without air": crop_of_lungs(picture),
        "a crop of it, cropped by 5 %": trimmed(crop_of_lungs(picture), 0.05),
        "all": np.rot90(trimmed(windowed(hu, -1200, 300), 0.05) + rng.normal(0, 0.03, (172, 172))),
    }[name]


ALTERED = [
    "another window",
    "brightness",
    "gamma",
    "noise",
    "cropped by 5 %",
    "half the size",
    "squeezed",
    "padded",
    "without air",
    "a crop of it, cropped by 5 %",
    "all",
]


@pytest.mark.parametrize("name", ALTERED)
def test_what_was_done_to_a_picture_does_not_hide_it(patients, seen, name):
    rng = np.random.default_rng(1)
    changed = [views(altered(name, patient[1], rng)) for patient in patients]
    found = near_duplicates(changed, seen)
    assert sorted((match.first, match.second) for match in found) == [(place, place) for place in range(4)]
    assert found[-1].score > 0.85


def test_a_crop_that_is_cropped_again_is_the_first_candidate_either_way(patients):
    crops = [crop_of_lungs(windowed(hu)) for patient in patients for hu in patient]
    whole, narrow = [views(crop) for crop in crops], [views(trimmed(crop, 0.06)) for crop in crops]
    for one, other in ((whole, narrow), (narrow, whole)):
        found = near_duplicates(one, other, closest=1)
        assert sorted((match.first, match.second) for match in found) == [(place, place) for place in range(12)]


def test_neighbouring_patients_are_no_duplicates(patients, seen):
    others = [views(windowed(patient[place])) for patient in patients for place in (0, 2)]
    found = near_duplicates(seen, others, least=-1)
    strangers = [match.score for match in found if match.first != match.second // 2]
    assert len(strangers) == 4 * 8 - 4 * 2  # all were looked at
    assert max(strangers) < NEAR_DUPLICATE


def test_the_likest_comes_first_and_only_the_closest_are_looked_at(patients, seen):
    noisy = windowed(patients[0, 1]) + np.random.default_rng(2).normal(0, 0.2, (192, 192))
    found = near_duplicates([views(noisy), seen[3]], seen, least=-1, closest=3)
    assert (found[0].first, found[0].second) == (1, 3)
    assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)
    assert len(found) == 2 * 3


def test_lungs_are_a_second_view_where_air_lies_around_the_body(patients):
    picture = windowed(patients[0, 1])
    framed, whole = views(picture)
    assert abs(framed - whole).max() > 0.01
    assert np.allclose(views(trimmed(picture, 0.02))[0], framed, atol=0.02)  # less air around the same lungs


@pytest.mark.real
def test_the_fifty_labelled_slices(data):
    from groundglass.datasets import covid_semiseg

    case = next(iter(covid_semiseg.read(data / "covid_semiseg")))
    seen = [views(image) for image in case.images]
    groups, names = case.groups, case.slices

    def pairs(found):
        return [(match.first, match.second) for match in found if match.first < match.second]

    near, like = pairs(near_duplicates(seen, seen, closest=4)), pairs(alike(seen, seen))
    assert {names[place] for place in near[0]} == {names[place] for place in like[0]} == {"10", "43"}
    assert (len(near), len(like)) == (2, 9)
    assert all(groups[one] == groups[other] for one, other in near + like)
    assert set(near) <= set(like)
