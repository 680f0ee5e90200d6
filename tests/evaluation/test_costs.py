import pytest

from groundglass.errors import ReadError
from groundglass.evaluation.costs import Cost, Sitting, add_sitting, costs, read_sittings


def test_a_stage_has_its_steps_at_the_pace_of_its_sittings():
    sittings = [
        Sitting("runs/a/stage-1", "inpainting", 100, 60, 60.0),
        Sitting("runs/a/stage-1", "inpainting", 100, 60, 60.0),  # stopped at 60, went on from 40
        Sitting("runs/a/stage-2", "inf_net", 30, 30, 90.0),
        Sitting("priors/b/prior/all/stage-1", "prior", 10, 10, 30.0),
        Sitting("priors/b/prior/fold-1/stage-1", "prior", 10, 10, 90.0),
        Sitting("runs/ab/stage-1", "inf_net", 10, 10, 6000.0),
    ]
    assert costs(sittings, ["runs/a", "priors/b"]) == {
        "inpainting": Cost(100, pytest.approx(100 / 60)),
        "inf_net": Cost(30, 1.5),
        "prior": Cost(20, 2.0),
    }


def test_sittings_survive_their_file(tmp_path):
    path = tmp_path / "spent.csv"
    assert read_sittings(path) == []
    sittings = [Sitting("runs/a/stage-1", "inf_net, own labels", 3, 2, 1.5), Sitting("runs/a/stage-2", "x", 1, 1, 0.25)]
    for one in sittings:
        add_sitting(path, one)
    assert read_sittings(path) == sittings
    path.write_text("stage,phase\na,b\n")
    with pytest.raises(ReadError, match=r"spent\.csv is damaged"):
        read_sittings(path)
