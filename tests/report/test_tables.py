from __future__ import annotations

import dataclasses

from groundglass.report import tables
from groundglass.scan import Source

DASH = "\N{EN DASH}"


def test_a_difference_of_unknown_volumes_is_unknown_too(make):
    burden = make((1, 64, 64), source=Source(format="image", spacing_known=False)).burden
    infection = tables.against_truth(burden, burden)[1]
    percent = f"{burden.opacity_percent:.1f}"
    assert infection == tables.Row("Infection", (DASH, DASH, DASH, percent, percent, "0.0"))


def test_measured_less_true_is_the_difference(make):
    infected, healthy = make().burden, make(infected=False).burden
    row = tables.against_truth(healthy, infected)[1]
    true = infected.zone().amounts[tables.Region.INFECTION].volume_ml
    assert row.cells[:3] == (f"{true:.1f}", "0.0", f"\N{MINUS SIGN}{true:.1f}")


def test_without_sides_only_both_lungs_are_in_the_table(make):
    table = tables.measurements(make(source=Source(sides_known=False)).burden)
    assert table.groups == ("Both lungs",)
    assert all(len(row.cells) == 3 for row in table.rows)


def test_thirds_are_in_order_and_their_bars_are_their_percentages(make):
    rows = tables.thirds(make().burden)
    assert [row.title for row in rows] == [
        f"{side} lung, {third}" for side in ("Right", "Left") for third in ("upper", "middle", "lower")
    ]
    assert all(abs(sum(row.bars) - float(row.cells[-1])) <= 0.05 for row in rows)


def test_facts_that_are_not_there_have_no_row(make):
    content = make(source=Source(format="nifti"))
    titles = [row.title for row in tables.what_was_read(content.scan)]
    assert titles == ["Format", "Slices", "Slice size", "Spacing", "Values"]
    made = dataclasses.replace(content.provenance, recipe="r.toml", seed=0)
    assert {"Recipe", "Seed"} <= {row.title for row in tables.how_it_was_made(made)}
    assert not {"Recipe", "Seed"} & {row.title for row in tables.how_it_was_made(content.provenance)}
