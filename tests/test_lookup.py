import subprocess
import sys

import pytest

from groundglass.errors import UsageError
from groundglass.lookup import find, find_module, names


def test_a_string_picks_the_class_of_the_files_name():
    assert find("groundglass.methods", "mean_teacher").__name__ == "MeanTeacher"
    assert find("groundglass.networks", "unet").__name__ == "UNet"
    assert find("groundglass.networks", "unet_efficientnet").__name__ == "UNetEfficientNet"


def test_a_file_is_picked_whole_for_what_stands_beside_the_class():
    assert find_module("groundglass.methods", "mean_teacher").Config().ema == 0.99


def test_files_that_begin_with_an_underscore_and_folders_are_no_choices():
    found = names("groundglass.networks")
    assert {"unet", "unet_efficientnet"} <= set(found)
    assert not {"_network", "encoders"} & set(found)


def test_a_wrong_name_is_answered_with_the_nearest_right_one():
    with pytest.raises(UsageError, match=r"no 'mean_techer' .* one of bcp, .*supervised.* Did you mean 'mean_teacher'"):
        find("groundglass.methods", "mean_techer")


def test_a_name_near_nothing_gets_the_list():
    with pytest.raises(UsageError, match=r"one of attention_unet, .*, vq_unet\. Take one of these"):
        find("groundglass.networks", "xyz")


def test_a_path_is_no_name():
    with pytest.raises(UsageError):
        find("groundglass.networks", "encoders.efficientnet")


def test_a_file_without_a_class_of_its_name_is_told():
    with pytest.raises(UsageError, match=r"'focal' in groundglass.losses has no class .* Expected a class Focal"):
        find("groundglass.losses", "focal")


@pytest.mark.parametrize("package", ["groundglass.networks", "groundglass.methods", "groundglass.augment"])
def test_all_that_can_be_picked_has_a_class_of_its_name(package):
    for name in names(package):
        assert find(package, name).__name__.lower() == name.replace("_", "")


def test_groups_and_lookup_do_without_torch():
    code = "import sys, groundglass.lookup, groundglass.losses.groups; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
