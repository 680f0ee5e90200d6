import re
from itertools import pairwise

from groundglass.evaluation.conventions import Convention
from groundglass.evaluation.overlap import Counts
from groundglass.evaluation.trials import Row, Trial, entries
from groundglass.report.study import curve


def rows(names, labels):
    return [
        Row(Trial(name, name, "d", 0, 0, number), 1.0, f"s{place}", f"g{place}", "infection", Counts(5, place, 2, 90))
        for name in names
        for number in labels
        for place in range(4)
    ]


def test_names_of_many_recipes_stand_beside_their_lines_each_on_its_own():
    names = [f"recipe_{number}" for number in range(9)]
    drawn = curve(entries(rows(names, ("5", "10", "20", "40")), "dice", Convention("present")), "Heading")
    points = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', drawn)]
    told = {
        name: (float(x), float(y)) for x, y, name in re.findall(r'<text x="(\S+)" y="(\S+)"[^>]*>(recipe_\d)', drawn)
    }
    assert len(points) == 9 * 4
    assert min(x for x, _ in told.values()) > max(points) + 3
    heights = sorted(y for _, y in told.values())
    assert all(below - above >= 12 for above, below in pairwise(heights))
    assert heights[-1] < 360
