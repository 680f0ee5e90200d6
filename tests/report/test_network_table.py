import pytest

from groundglass.report.networks import Cost, NetworkRow, markdown, text

ROWS = (
    NetworkRow("unet", "A, U-Net, 2015", 31_036_676, 352, 90_950_000_000, Cost(1234.4, 0.456, 2.0, 2, "float32")),
    NetworkRow("odd", "B, 2020", 24, 384, 5_000_000, Cost(None, 10.0, 100.0, 2, "float32")),
    NetworkRow("heavy", "C, 2021", 7, 352, 1_000_000_000),
)


def test_markdown_has_a_row_a_network_and_says_where_the_image_was_larger():
    lines = markdown(ROWS, 352, 2).splitlines()
    assert lines[0] == (
        "| network | paper | parameters | multiply-adds at 352, G "
        "| memory, MiB | training, images/s | prediction, images/s |"
    )
    assert lines[2] == "| `unet` | A, U-Net, 2015 | 31,036,676 | 90.95 | 1234 | 0.46 | 2.00 |"
    assert lines[3] == "| `odd` | B, 2020 | 24 | 0.01 (at 384) | – | 10.00 | 100.00 |"  # noqa: RUF001
    assert lines[4] == "| `heavy` | C, 2021 | 7 | 1.00 | – | – | – |"  # noqa: RUF001
    assert {line.count("|") for line in lines[:5]} == {8}
    assert "2 images a step, 2 threads, trained in float32; predicted in float32." in lines[-1]


@pytest.mark.parametrize("form", [markdown, text])
def test_without_measuring_there_are_no_columns_of_it(form):
    made = form(ROWS, 352, None)
    assert "90.95" in made
    assert "MiB" not in made
    assert "Measured" not in made


def test_on_a_terminal_numbers_stand_below_one_another():
    head, *rows = text(ROWS, 352, 2).splitlines()[:4]
    ends = {line.index(number) + len(number) for line, number in zip(rows, ("31,036,676", " 24", " 7"), strict=True)}
    assert ends == {head.index("parameters") + len("parameters")}
    assert [line.rpartition("  ")[2] for line in rows] == [row.paper for row in ROWS]
