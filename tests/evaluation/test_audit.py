import numpy as np
import pytest
from scipy import ndimage

from groundglass.errors import LabelError, UsageError
from groundglass.evaluation.audit import AuditItem, audit, equals_truth, selected_on_test
from groundglass.labels import NOT_LESION, UNKNOWN, Tissue
from groundglass.phantom import phantom_slices
from groundglass.splits import make_folds

NOT, GGO, SOLID = int(NOT_LESION), int(Tissue.GROUND_GLASS), int(Tissue.CONSOLIDATION)
INFECTION = GGO | SOLID


@pytest.fixture(scope="module")
def pictures():
    """A slice of each of four patients, [0, 1]."""
    hu = np.stack([phantom_slices(seed, 1, size=128).hu[0] for seed in range(40, 44)])
    return np.clip((hu.astype(np.float32) + 1350) / 1500, 0, 1)


def item(place, side, image, **more):
    return AuditItem(**{"id": f"s{place}", "group": f"g{place}", "series": None, "side": side, "image": image, **more})


@pytest.fixture
def clean(pictures):
    sides = ["train", "unlabelled", "test", "test"]
    return [item(place, side, pictures[place], series=f"v{place}") for place, side in enumerate(sides)]


def kinds(found):
    return [finding.kind for finding in found.findings]


def test_a_clean_split_has_no_finding(clean):
    assert audit(clean).findings == ()


def test_an_id_on_two_sides(clean, pictures):
    found = audit([*clean, item(0, "test", 1 - pictures[1], group="g9")]).findings
    assert [finding.kind for finding in found] == ["same-item"]
    assert (found[0].items, found[0].sides) == (("s0",), ("train", "test"))


def test_a_patient_on_the_test_side_and_another(clean, pictures):
    found = audit([*clean, item(9, "unlabelled", 1 - pictures[0], group="g2")])
    assert kinds(found) == ["same-group"]
    assert found.findings[0].items == ("s2", "s9")
    assert found.findings[0].sides == ("test", "unlabelled")
    assert found.findings[0].text == "Group g2 is on several sides: 1 in test, 1 in unlabelled."


def test_a_patient_to_train_on_with_and_without_labels_is_no_leak(clean, pictures):
    assert audit([*clean, item(9, "unlabelled", 1 - pictures[0], group="g0")]).findings == ()


def test_a_series_that_was_given_several_groups(clean, pictures):
    parted = audit([*clean, item(9, "train", 1 - pictures[0], series="v3")])
    assert kinds(parted) == ["same-series"]
    together = audit([*clean, item(9, "train", 1 - pictures[0], series="v3", group="g3")])
    assert kinds(together) == ["same-group"]  # told once


def test_an_identical_picture_is_told_once(clean, pictures):
    found = audit([*clean, item(9, "train", pictures[2].copy())])
    assert kinds(found) == ["identical"]
    assert found.findings[0].items == ("s2", "s9")


def test_empty_slices_are_not_called_identical(clean):
    empty = np.zeros((128, 128), np.float32)
    assert audit([*clean, item(8, "train", empty), item(9, "test", empty)]).findings == ()


@pytest.mark.parametrize("side", ["train", "unlabelled"])
def test_a_near_duplicate_of_a_test_slice(clean, pictures, side):
    mirrored = np.uint8(200 * pictures[2][6:-6, ::-1])
    found = audit([*clean, item(9, side, lambda: mirrored)])
    assert kinds(found) == ["near-duplicate"]
    near = found.findings[0]
    assert near.items == ("s2", "s9")
    assert near.score > 0.9
    assert near.text.endswith("(flip-left-right).")
    assert found.leaks == found.findings


def test_train_and_unlabelled_may_hold_one_picture(clean, pictures):
    assert audit([*clean, item(9, "unlabelled", pictures[0].copy())]).findings == ()


def test_single_slices_that_look_alike_are_a_hint_and_no_leak(clean, pictures):
    outlines = ndimage.gaussian_filter(pictures[2], 4)
    found = audit([*clean, item(9, "train", outlines)])
    assert kinds(found) == ["alike"]
    assert found.leaks == ()
    assert audit([*clean, item(9, "train", outlines, series="v9")]).findings == ()  # of two volumes: no hint


def test_labels_on_the_unlabelled_side_be_they_empty(clean, pictures):
    nothing_known = np.full((128, 128), UNKNOWN, np.uint8)
    assert audit([*clean, item(9, "unlabelled", 1 - pictures[0], labels=nothing_known)]).findings == ()
    all_background = np.full((128, 128), NOT, np.uint8)
    found = audit([*clean, item(9, "unlabelled", 1 - pictures[0], labels=all_background)])
    assert kinds(found) == ["labels-on-unlabelled"]
    assert (found.findings[0].items, found.findings[0].sides) == (("s9",), ("unlabelled",))


def test_the_share_of_lesion_pixels_that_agree_by_hand():
    truth = np.array([[NOT, GGO, GGO, SOLID, NOT]], np.uint8)
    prior = np.array([[NOT, GGO, SOLID, INFECTION, GGO]], np.uint8)
    # either holds four for infection; of these the 2nd agrees, the 3rd not, the 4th may be, the 5th not: 2 of 4
    assert equals_truth(prior, truth) == 0.5
    assert equals_truth(truth, truth) == 1
    assert equals_truth(np.full((1, 5), NOT, np.uint8), np.full((1, 5), NOT, np.uint8)) is None
    assert equals_truth(np.full((1, 5), UNKNOWN, np.uint8), truth) == 0  # knows nothing, agrees with nothing
    with pytest.raises(LabelError, match="same pixels"):
        equals_truth(truth, truth.T)


def test_a_prior_that_is_the_truth(clean, pictures):
    truth = np.full((128, 128), NOT, np.uint8)
    truth[40:60, 40:60] = GGO
    binary = np.where(truth == GGO, INFECTION, NOT).astype(np.uint8)
    shifted = np.roll(binary, 1, axis=0)  # 19 of 21 rows agree
    leak = item(8, "train", 1 - pictures[0], labels=truth, prior=binary)
    fair = item(9, "train", 1 - pictures[1], labels=truth, prior=shifted)
    found = audit([*clean, leak, fair])
    assert kinds(found) == ["prior-is-truth"]
    assert (found.findings[0].items, found.findings[0].sides, found.findings[0].score) == (("s8",), ("train",), 1)


def test_a_model_that_was_chosen_by_test_slices(clean):
    found = audit(clean, {"selected_on": ["s1", "s3"], "other": 1})
    assert kinds(found) == ["selected-on-test"]
    assert found.findings[0].items == ("s3",)
    assert audit(clean, {"selected_on": ["s0", "s1"]}).findings == ()
    assert selected_on_test({}, {"s3"}) == ()
    for wrong in ("s3", [3], None):
        with pytest.raises(UsageError, match="list of ids"):
            selected_on_test({"selected_on": wrong}, {"s3"})


def test_leaks_come_before_hints_and_high_scores_first(clean, pictures):
    rng = np.random.default_rng(1)
    alike = ndimage.gaussian_filter(pictures[3], 4)
    noisy = pictures[2] + rng.normal(0, 0.05, pictures[2].shape)
    nearer = pictures[3] + rng.normal(0, 0.01, pictures[3].shape)
    found = audit([*clean, item(7, "train", alike), item(8, "train", noisy), item(9, "train", nearer, group="g3")])
    told = [(finding.kind, finding.items) for finding in found.findings]
    assert told == [
        ("same-group", ("s3", "s9")),
        ("near-duplicate", ("s3", "s9")),
        ("near-duplicate", ("s2", "s8")),
        ("alike", ("s3", "s7")),
    ]


def test_an_unknown_side_is_refused(pictures):
    with pytest.raises(UsageError, match="No side 'validation'"):
        audit([item(0, "validation", pictures[0])])


class _Slice:
    labelled = True

    def __init__(self, name, group):
        self.id, self.group, self.hash = name, group, name


@pytest.fixture(scope="module")
def fifty(data):
    from groundglass.datasets import covid_semiseg

    return next(iter(covid_semiseg.read(data / "covid_semiseg")))


def pairs_found(case, tested):
    """Pairs of slices that an audit tells of when it knows no groups."""
    found = audit(
        AuditItem(name, f"alone-{name}", None, "test" if name in tested else "train", image)
        for name, image in zip(case.slices, case.images, strict=True)
    )
    return [frozenset(finding.items) for finding in found.findings]


@pytest.mark.real
def test_the_fifty_labelled_slices_split_by_group(fifty):
    slices = [_Slice(name, group) for name, group in zip(fifty.slices, fifty.groups, strict=True)]
    assert pairs_found(fifty, make_folds(slices, 5, 0).fold(0, slices).test) == []


@pytest.mark.real
@pytest.mark.parametrize("seed", [0, 1])
def test_the_fifty_labelled_slices_split_by_slice(fifty, seed):
    """Of the 19 pairs of one patient, these show it; the others are told by their groups only."""
    visible = ["10 43", "5 46", "4 17", "17 46", "5 17", "35 67", "4 46", "4 5", "13 31"]
    tested = {"10", *np.random.default_rng(seed).permutation([name for name in fifty.slices if name != "43"])[:15]}
    found = pairs_found(fifty, tested)
    assert found[0] == {"10", "43"}
    assert set(found) == {frozenset(pair.split()) for pair in visible if len(tested & set(pair.split())) == 1}


@pytest.mark.real
def test_the_published_priors_of_the_training_slices_are_their_truth(data):
    from PIL import Image

    folder = data / "covid_semiseg/TrainingSet/MultiClassInfection-Train"
    truths = sorted((folder / "GT").glob("*.png"))
    codes = np.full(256, NOT, np.uint8)
    codes[1], codes[2] = GGO, SOLID
    shares = []
    for truth in truths:
        prior = np.asarray(Image.open(folder / "Prior" / truth.name).convert("L")) > 127
        sets = codes[np.asarray(Image.open(truth))]
        shares.append(equals_truth(np.where(prior, INFECTION, NOT).astype(np.uint8), sets))
    assert len(shares) == 50
    assert min(shares) > 0.99
