import csv
import re

import numpy as np
import pytest

HEADER = "case,side,third,region,voxels,volume_ml,percent_of_lung,mean_hu"


def measured(patients):
    """A table as segment writes one, of several cases: rows of other regions and zones are not meant."""
    lines = [HEADER]
    for name, percent in patients.items():
        lines += [
            f"{name},both,all,lung_field,9,9,100,-800",
            f"{name},both,all,infection,9,9,{percent},-500",
            f"{name},left,all,infection,9,9,{percent / 2},-500",
            f"{name},left,upper,infection,9,9,77,-500",
        ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def tables(tmp_path):
    """Forty patients whose burden rises by 0.5 a year and by 10 with diabetes; sex does nothing."""
    rng = np.random.default_rng(0)
    age, ill, male = rng.integers(30, 80, 40), rng.integers(0, 2, 40), rng.integers(0, 2, 40)
    burden = 0.5 * age + 10 * ill + rng.normal(size=40)
    names = [f"secret{number}" for number in range(40)]
    words = np.array(["Female", "male"])[male], np.array(["no", "yes"])[ill]
    severity = np.array(["mild", "severe", "critical"])[np.digitize(burden, [30, 45])]
    rows = [",".join(map(str, cells)) for cells in zip(names, age, *words, severity, strict=True)]
    text = {
        "m.csv": measured(dict(zip(names, burden.round(3), strict=True))) + "elsewhere,both,all,infection,1,1,5,-500\n",
        "c.csv": "\n".join(["patient,age,sex,diabetes,severity", *rows]) + "\n",
    }
    for name, content in text.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def associate(run, folder, *more):
    return run("study", "associate", folder / "m.csv", folder / "c.csv", "-o", folder / "out", *more)


def test_known_effects_are_found_and_no_others(run, tables):
    ended = associate(run, tables, "--covariate", "age", "--covariate", "sex", "--covariate", "diabetes")
    assert ended.code == 0, ended.err
    with (tables / "out" / "associations.csv").open(newline="") as stream:
        rows = {(row["analysis"], row["covariate"]): row for row in csv.DictReader(stream)}
    slope = {name: float(rows["regression", name]["estimate"]) for name in ("age", "sex", "diabetes")}
    assert slope["age"] == pytest.approx(0.5, abs=0.05)
    assert slope["diabetes"] == pytest.approx(10, abs=1)
    assert rows["regression", "diabetes"]["increase_of_1"] == "yes against no"
    assert rows["regression", "sex"]["increase_of_1"] == "male against female"
    assert float(rows["regression", "age"]["p_holm"]) < 0.001
    assert float(rows["regression", "sex"]["p_holm"]) > 0.05
    assert float(rows["spearman", "age"]["estimate"]) > 0.5
    assert {row["n"] for row in rows.values()} == {"40"}
    assert "association, not cause" in ended.err
    assert "left out: 1" in ended.err


def test_the_page_is_closed_and_names_no_patient(run, tables):
    clinical = (tables / "c.csv").read_text().replace("diabetes", "<b>diabetes</b>")
    (tables / "c.csv").write_text(clinical)
    ended = associate(run, tables, "--order", "severity=mild,severe,critical")
    assert ended.code == 0, ended.err
    page = (tables / "out" / "page.html").read_text()
    everything = page + (tables / "out" / "associations.csv").read_text() + ended.out + ended.err
    assert "secret" not in everything
    assert str(tables) not in everything.replace(str(tables / "out"), "")
    assert "<b>diabetes" not in page
    assert "&lt;b&gt;diabetes" in page
    assert re.search(r"default-src &#39;none&#39;; .*style-src &#39;sha256-", page)
    assert "association, not cause" in page
    assert page.count('class="point"') == 4 * 40


def test_rows_of_a_patient_are_averaged_and_other_columns_can_be_the_burden(run, tmp_path):
    (tmp_path / "m.csv").write_text("who,score\n" + "".join(f"p{n % 6},{n}\n" for n in range(12)))
    (tmp_path / "c.csv").write_text("id,who,age\n" + "".join(f"{n},p{n},{n}\n" for n in (0, 1, 2, 3, 4, 5)))
    ended = associate(run, tmp_path, "--key", "who", "--burden", "score", "--covariate", "age")
    assert ended.code == 0, ended.err
    assert "slope, age: +1.00" in ended.out  # means 3, 4, 5, ...


@pytest.mark.parametrize(
    ("table", "old", "new", "told"),
    [
        ("m.csv", r"secret", "other", "No patient of m.csv is in c.csv"),
        ("m.csv", r"percent_of_lung", "percent", "m.csv has no column percent_of_lung. Expected one of case, side"),
        (
            "m.csv",
            r"(?m)^(secret3,both,all,infection,9,9,)[^,]*",
            r"\1nan",
            "percent_of_lung of m.csv has a cell that is no",
        ),
        ("c.csv", r"secret3,\d+", "secret3,old", "column age of c.csv has a cell that is no number"),
        ("c.csv", r"secret3,\d+", "secret3,nan", "column age of c.csv has a cell that is no number"),
        ("c.csv", r"secret3,\d+", "secret3,inf", "column age of c.csv has a cell that is no number"),
        ("c.csv", r"(secret\d+),\d+", r"\1,50", "age is the same for all 40 patients"),
        ("c.csv", r"secret3,", "secret4,", "2 rows of one patient"),
        ("c.csv", r"(?s)secret1,.*", "", "known of 1 patient"),
        ("c.csv", r"secret3,", "secret3,1,", "too many cells"),
        ("c.csv", r",age,", ",sex,", "c.csv is no table"),
        ("c.csv", r"(?s).+", "\x00", "c.csv is no table"),
        ("c.csv", r"(?s).+", "", "c.csv is no table"),
    ],
)
def test_bad_tables_give_one_line_and_nothing_is_written(run, tables, table, old, new, told):
    text = (tables / table).read_text()
    assert re.search(old, text)
    (tables / table).write_text(re.sub(old, new, text))
    ended = associate(run, tables, "--covariate", "age")
    assert ended.code in {1, 2}
    assert told in ended.error
    assert "secret" not in ended.error
    assert not (tables / "out").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ((), "column severity has 3 words and no order"),
        (("--order", "severity=mild,severe"), "a word that its order has not: critical"),
        (("--order", "severity"), "The order 'severity'"),
        (("--covariate", "agee"), "c.csv has no column agee. Expected one of patient, age"),
        (("--key", "name"), "m.csv has no column name"),
    ],
)
def test_choices_that_cannot_be(run, tables, more, told):
    ended = associate(run, tables, *more)
    assert ended.code == 2
    assert told in ended.error


def test_a_table_that_is_not_there(run, tmp_path):
    ended = associate(run, tmp_path)
    assert ended.code == 2
    assert "There is no table m.csv" in ended.error
