"""The records of runs: numbered, bounded in number, and never removed while their run goes on."""

import os

import pytest

from tweed_shim.base import files
from tweed_shim.errors import StateError
from tweed_shim.runtime import runs


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MOST_RUNS", 3)


def numbers(root: str) -> list[int]:
    return sorted(int(name) for name in os.listdir(f"{root}/runs") if name.isdigit())


@pytest.mark.usefixtures("few")
def test_only_the_records_of_the_newest_runs_stay(tmp_path: os.PathLike[str]) -> None:
    root = os.fspath(tmp_path)
    for _ in range(6):
        runs.begin(root).write_record({"state": "ended"})
    assert numbers(root) == [4, 5, 6]
    assert [record["run"] for record in runs.records(root, newest=2)] == [6, 5]


@pytest.mark.usefixtures("few")
def test_the_record_of_a_run_that_goes_on_stays_however_many_runs_come_after_it(
    tmp_path: os.PathLike[str],
) -> None:
    root = os.fspath(tmp_path)
    first = runs.begin(root)
    first.write_record({"state": "running"})
    with files.held_directory(first.directory):
        for _ in range(6):
            runs.begin(root)
        assert runs.read(first)["state"] == "running"
    assert runs.read(first)["state"] == "killed"


def test_a_lost_counter_goes_on_after_the_newest_run(tmp_path: os.PathLike[str]) -> None:
    root = os.fspath(tmp_path)
    for _ in range(3):
        runs.begin(root)
    os.truncate(f"{root}/runs/lock", 0)
    assert runs.begin(root).number == 4
    assert runs.begin(root).number == 5


@pytest.mark.parametrize("name", ["0", "7", "²", "../runs", "x", ""])
def test_a_number_without_a_run_is_an_error(tmp_path: os.PathLike[str], name: str) -> None:
    runs.begin(os.fspath(tmp_path))
    with pytest.raises(StateError, match="there is no run"):
        runs.find(os.fspath(tmp_path), name)
