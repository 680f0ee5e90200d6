import pytest

from groundglass.engine import log
from groundglass.engine.log import EVENTS_FILE, LOG_FILE, check_tensorboard, events, read_log, write_log
from groundglass.errors import ReadError, UsageError

ROWS = [
    {"step": 1, "rate": 0.1, "cross_entropy": 1 / 3},
    {"step": 2, "rate": 1e-05, "cross_entropy": 2.0, "dice": 0.25},
    {"step": 3, "rate": 0.0, "dice": 1e300},
]


def test_rows_come_back_to_the_last_bit_and_a_loss_that_a_step_has_not_is_empty(tmp_path):
    write_log(tmp_path / LOG_FILE, ROWS)
    assert (tmp_path / LOG_FILE).read_text().splitlines() == [
        "step,rate,cross_entropy,dice",
        "1,0.1,0.3333333333333333,",
        "2,1e-05,2.0,0.25",
        "3,0.0,,1e+300",
    ]
    assert read_log(tmp_path / LOG_FILE) == ROWS
    assert read_log(tmp_path / "absent.csv") == []


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"nothing\n1\n", b"step,rate\n1,fast\n", b"step,rate\n,1\n", b"step,rate\n1,2,3\n", b""]
)
def test_a_damaged_log_is_refused(tmp_path, content):
    (tmp_path / LOG_FILE).write_bytes(content)
    with pytest.raises(ReadError, match=r"log\.csv is damaged"):
        read_log(tmp_path / LOG_FILE)


def test_events_are_what_the_log_says_and_tensorboard_reads_them(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    (tmp_path / EVENTS_FILE).write_bytes(events(ROWS[:2]))
    first, *steps = EventFileLoader(str(tmp_path / EVENTS_FILE)).Load()
    assert first.file_version == "brain.Event:2"
    assert [(event.step, event.wall_time) for event in steps] == [(1, 1.0), (2, 2.0)]
    told = [{value.tag: value.tensor.float_val[0] for value in event.summary.value} for event in steps]
    assert told[0] == {"rate": pytest.approx(0.1), "cross_entropy": pytest.approx(1 / 3)}
    assert told[1] == {"rate": pytest.approx(1e-5), "cross_entropy": 2, "dice": 0.25}
    assert events(ROWS[:2]) == events(ROWS[:2])


def test_without_the_package_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(log, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "groundglass\[tensorboard\]"'):
        check_tensorboard()
