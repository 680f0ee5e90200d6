import pytest

from groundglass.build import make_method, make_network
from groundglass.errors import UsageError
from groundglass.recipe import Network

TINY = Network(name="unet", settings={"widths": [4, 8]})


def method(name, **settings):
    return make_method(name, make_network(TINY, 3), (3, 4, 8), settings, seed=7)


def test_a_method_with_randomness_of_its_own_takes_the_recipes_seed():
    assert method("mean_teacher").config.seed == 7
    assert method("mean_teacher", seed=2).config.seed == 2
    assert method("supervised").config.dice == 1


def test_a_setting_that_a_method_has_not_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"no setting .consistancy.* Expected consistency, perhaps"):
        method("mean_teacher", consistancy=1.0)
