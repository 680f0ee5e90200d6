from __future__ import annotations

import numpy as np
import pytest

from groundglass.labels import Region
from groundglass.report.charts import profile, round_up
from groundglass.report.views import look_over
from groundglass.scan import Scan


@pytest.mark.parametrize(("value", "top"), [(0.7, 1), (1.0, 1), (3, 5), (5.1, 10), (42, 50), (101, 200)])
def test_round_up(value, top):
    assert round_up(value) == pytest.approx(top)


def test_profile_stacks_ground_glass_on_consolidation():
    # pixels of 10 mm x 10 mm are 1 cm²: the second slice has 2 cm² ground glass and 3 cm² consolidation
    codes = np.zeros((3, 2, 5), np.uint8)
    codes[1, 0, :2], codes[1, 1, :3] = 2, 3
    scan = Scan(np.zeros(codes.shape, np.int16), np.diag([-10.0, -10.0, 5.0, 1.0]))
    chart = profile(scan, look_over(codes), (1,))
    assert chart is not None
    assert (chart.top, chart.unit, chart.slices, chart.marked) == ("5", "cm²", 3, (1,))
    paths = {area.region: area.path for area in chart.areas}
    # y runs downwards from 0 (5 cm²) to 1000 (0 cm²)
    assert paths[Region.CONSOLIDATION] == "M0,1000V1000H1V400H2V1000H3V1000H2V1000H1V1000H0z"
    assert paths[Region.GROUND_GLASS] == "M0,1000V1000H1V0H2V1000H3V1000H2V400H1V1000H0z"


def test_no_infection_no_profile():
    codes = np.ones((3, 2, 5), np.uint8)
    scan = Scan(np.zeros(codes.shape, np.int16), np.diag([-1.0, -1.0, 1.0, 1.0]))
    assert profile(scan, look_over(codes), ()) is None
