"""The disk usage of directories: what is counted, and when it is measured."""

import os
from pathlib import Path

from tweed_shim.runtime import disk_usage
from tweed_shim.runtime.disk_usage import DiskUsage


def test_hard_links_count_once_and_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (600 << 10))
    for number in range(10):
        os.link(tmp_path / "file", tmp_path / f"hard{number}")
    (tmp_path / "link").symlink_to("/usr")
    assert not DiskUsage([str(tmp_path)], 1 << 20).measure(now=True)
    assert DiskUsage([str(tmp_path)], 500 << 10).measure(now=True)


def test_nothing_is_measured_without_directories() -> None:
    usage = DiskUsage([], 0)
    assert (usage.pause(), usage.measure(now=True)) == (None, False)


def test_a_measurement_waits_for_its_time_and_an_exceeded_limit_ends_them(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (64 << 10))
    usage = DiskUsage([str(tmp_path)], 1)
    pause = usage.pause()
    assert pause is not None
    assert 0 < pause <= disk_usage.PAUSE * 1000
    assert not usage.measure()
    assert usage.measure(now=True)
    assert usage.is_exceeded
    assert usage.pause() is None
