import pytest

from groundglass.errors import ReadError
from groundglass.evaluation.published import read_paper

TEXT = """
title = "A toy"
printed = ["F1"]
measured = [{ title = "ours" }, { title = "AUC", metric = "roc_auc", regions = ["infection"] }]
scales.full = { recipes = ["toy"], size = 64 }
[[table]]
title = "Table I"
regions = ["ground_glass"]
row = [{ label = "a", recipe = "x", cells = ["1"] }, { label = "b", recipe = "y", against = "x" }]
"""


def written(tmp_path, text):
    (tmp_path / "toy.tables").write_text(text)
    return tmp_path


def test_a_table_says_what_its_columns_do_not(tmp_path):
    paper = read_paper(written(tmp_path, TEXT), "toy")
    assert [column.regions for column in paper.measured_of(paper.table[0])] == [["ground_glass"], ["infection"]]
    assert (paper.recipes, paper.metrics, paper.examined) == (["x", "y"], ["dice", "roc_auc"], ["roc_auc"])
    assert not paper.trained_too


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('cells = ["1"]', 'cells = ["1", "2"]', "Table I, a: 2 cells"),
        ('against = "x"', 'against = "z"', "no row has the recipe z"),
        ("roc_auc", "auc", "AUC: auc of"),
        ('regions = ["infection"]', 'regions = ["lung"]', "AUC: roc_auc of"),
        ("printed", 'convention = "pooled"\nprinted', "the convention pooled"),
        ("printed", 'convention = "curve+present"\nprinted', "the convention curve"),
        ("label", "lable", "Extra inputs|Field required"),
        ("title", "= ", "Invalid statement"),
    ],
)
def test_what_is_no_paper(tmp_path, old, new, told):
    with pytest.raises(ReadError, match=told):
        read_paper(written(tmp_path, TEXT.replace(old, new)), "toy")
