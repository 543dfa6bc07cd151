"""The disk usage of directories: what is counted, to which limit, and when it is measured."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tweed_shim.runtime import disk_usage
from tweed_shim.runtime.disk_usage import DiskUsage
from tweed_shim.runtime.plan import DiskLimit
from tweed_shim.runtime.request import MOST_FILES


def limit_of(most: int, *directories: Path, files: int = MOST_FILES) -> DiskLimit:
    """The limit of directories whose destinations have their names."""
    destinations = {f"/{path.name}": str(path) for path in directories}
    return {"directories": destinations, "limit": most, "files": files, "kept": False}


@pytest.fixture(autouse=True)
def no_other_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a sandbox has a /proc of its own: here it lists the open files of other tests."""
    if "child" not in request.fixturenames:
        monkeypatch.setattr(disk_usage, "_unnamed", lambda _: ())


def exceeded(*limits: DiskLimit) -> str:
    usage = DiskUsage([*limits])
    assert usage.measure(now=True) == bool(usage.exceeded)
    return usage.exceeded


def directory(path: Path, kibibytes: int) -> Path:
    path.mkdir()
    (path / "file").write_bytes(b"x" * (kibibytes << 10))
    return path


def test_hard_links_count_once_and_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    out = directory(tmp_path / "out", 600)
    for number in range(10):
        os.link(out / "file", out / f"hard{number}")
    (out / "link").symlink_to("/usr")
    assert exceeded(limit_of(1 << 20, out)) == ""
    assert exceeded(limit_of(500 << 10, out)) == "/out"


def test_nothing_is_measured_without_directories() -> None:
    usage = DiskUsage([])
    assert (usage.pause(), usage.measure(now=True)) == (None, False)


def test_a_measurement_waits_for_its_time_and_an_exceeded_limit_ends_them(tmp_path: Path) -> None:
    usage = DiskUsage([limit_of(1, directory(tmp_path / "out", 64))])
    pause = usage.pause()
    assert pause is not None
    assert 0 < pause <= disk_usage.PAUSE * 1000
    assert not usage.measure()
    assert usage.measure(now=True)
    assert usage.exceeded == "/out"
    assert usage.pause() is None


def test_directories_count_together_or_by_themselves(tmp_path: Path) -> None:
    first, second = directory(tmp_path / "first", 64), directory(tmp_path / "second", 64)
    assert exceeded(limit_of(100 << 10, first, second)) == "/first"
    assert exceeded(limit_of(100 << 10, first), limit_of(100 << 10, second)) == ""
    assert exceeded(limit_of(100 << 10, first), limit_of(50 << 10, second)) == "/second"


def test_files_are_counted_as_well_as_bytes(tmp_path: Path) -> None:
    out = directory(tmp_path / "out", 0)
    (out / "inner").mkdir()
    assert exceeded(limit_of(1 << 20, out, files=2)) == ""
    assert exceeded(limit_of(1 << 20, out, files=1)) == "/out"


def test_what_is_there_before_the_run_is_no_excess(tmp_path: Path) -> None:
    out = directory(tmp_path / "out", 64)
    limit = limit_of(1, out, files=0)
    disk_usage.allow_present(limit)
    assert exceeded(limit) == ""
    (out / "more").write_bytes(b"x" * 8192)
    assert exceeded(limit) == "/out"


def test_limits_are_not_lowered_to_what_is_there(tmp_path: Path) -> None:
    limit = limit_of(1 << 20, directory(tmp_path / "out", 64))
    disk_usage.allow_present(limit)
    assert limit == limit_of(1 << 20, tmp_path / "out")


@pytest.fixture
def child(tmp_path: Path) -> Iterator[int]:
    """A process that has a file without a name open, as its descriptor 3."""
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        actions = [(os.POSIX_SPAWN_DUP2, file.fileno(), 3)]
        pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {}, file_actions=actions)
        yield pid
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_an_open_file_without_a_name_counts_wherever_it_may_have_been(tmp_path: Path, child: int) -> None:
    first, second = directory(tmp_path / "first", 0), directory(tmp_path / "second", 0)
    path = f"/proc/{child}/fd/3"
    assert path in {found for found, _ in disk_usage._unnamed({os.stat(tmp_path).st_dev})}
    assert path not in {found for found, _ in disk_usage._unnamed(set[int]())}
    totals = [disk_usage._Total(limit_of(0, each)) for each in (first, second)]
    # Neither directory is a mount of this process.
    assert disk_usage._mounting(path, totals) == totals


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_directory_that_becomes_a_link_leads_nowhere(tmp_path: Path) -> None:
    """The program swaps it after its parent was listed, and before it is entered itself."""
    (tmp_path / "out/inner").mkdir(parents=True)
    (tmp_path / "out/inner/file").touch()
    outside = directory(tmp_path / "outside", 1)
    before = open_descriptors()
    statuses = disk_usage._below(str(tmp_path / "out"))
    assert next(statuses).st_ino == os.stat(tmp_path / "out/inner").st_ino
    (tmp_path / "out/inner").rename(tmp_path / "away")
    (tmp_path / "out/inner").symlink_to(outside)
    assert list(statuses) == []
    assert open_descriptors() == before


def test_a_directory_on_the_way_that_becomes_a_link_leads_nowhere(tmp_path: Path) -> None:
    """The last name of the path is a directory in both trees, so that only the link on the way tells them apart."""
    (tmp_path / "out/inner/deep").mkdir(parents=True)
    (tmp_path / "outside/deep").mkdir(parents=True)
    (tmp_path / "outside/deep/file").touch()
    statuses = disk_usage._below(str(tmp_path / "out"))
    assert next(statuses).st_ino == os.stat(tmp_path / "out/inner").st_ino
    assert next(statuses).st_ino == os.stat(tmp_path / "out/inner/deep").st_ino
    (tmp_path / "out/inner").rename(tmp_path / "away")
    (tmp_path / "out/inner").symlink_to("../outside")
    assert list(statuses) == []


@pytest.mark.parametrize("name", ["d", "n" * 255])
def test_directories_deeper_than_a_path_can_be_long_are_measured(tmp_path: Path, name: str) -> None:
    """Of 5,000 bytes: the kernel takes no path of more than 4096."""
    count, current = 5000 // (len(name) + 1), os.open(tmp_path, os.O_RDONLY)
    for _ in range(count):
        os.mkdir(name, dir_fd=current)
        inner = os.open(name, os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = inner
    os.close(current)
    before = open_descriptors()
    measured = len(list(disk_usage._below(str(tmp_path))))
    # pytest cannot remove so deep a tree.
    subprocess.run(["rm", "-r", tmp_path / name], check=True)
    assert (measured, open_descriptors()) == (count, before)
