import pytest

from groundglass.errors import LabelError
from groundglass.labels import Region
from groundglass.losses.groups import answers, check_outputs, regions_of, tissue_groups


@pytest.mark.parametrize(
    ("sets", "groups"),
    [
        ([3, 4, 8], (3, 4, 8)),  # lesion classes without lung
        ([3, 12], (3, 12)),  # infection as one class
        ([1, 2, 4, 8], (1, 2, 4, 8)),  # everything
        ([1, 14], (1, 14)),  # lung fields
        ([3, 12, 1, 14], (1, 2, 12)),  # lung fields here, infection there: lung is what is left
        ([15], (15,)),  # nothing is told apart
        ([4, 15], (11, 4)),  # scribbles on one tissue
        ([3, 4, 8, 15, 4, 3], (3, 4, 8)),
        ([], (15,)),
    ],
)
def test_two_tissues_are_told_apart_only_if_a_set_holds_one_without_the_other(sets, groups):
    assert tissue_groups(sets) == groups


def test_no_set_splits_a_group_and_groups_hold_every_tissue_once():
    for first in range(1, 16):
        for second in range(1, 16):
            groups = tissue_groups([first, second])
            assert sum(groups) == 15
            assert all(group & held in (0, group) for group in groups for held in (first, second))


@pytest.mark.parametrize("bad", [0, 16])
def test_what_is_no_set_is_refused(bad):
    with pytest.raises(LabelError, match=f"^{bad} is no label set"):
        tissue_groups([3, bad])


def test_an_infection_model_answers_infection_but_not_ground_glass():
    assert regions_of((3, 12)) == (Region.INFECTION,)
    assert not answers((3, 12), Region.GROUND_GLASS)
    assert regions_of((3, 4, 8)) == (Region.INFECTION, Region.GROUND_GLASS, Region.CONSOLIDATION)
    assert regions_of((1, 2, 4, 8)) == tuple(Region)


@pytest.mark.parametrize("outputs", [(3, 4), (3, 5, 8), (3, 0, 12), (15, 15), ()])
def test_outputs_hold_every_tissue_once(outputs):
    with pytest.raises(LabelError, match="output groups"):
        check_outputs(outputs)
