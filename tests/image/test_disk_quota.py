"""The room that unpacking may take on disk: of small disks, and with a smaller limit than the real one."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tweed_shim.errors import HostError, ImageError
from tweed_shim.host.userns import IdMap, run_mapped
from tweed_shim.image import disk_quota
from tweed_shim.image.disk_quota import DiskQuota

DISK, FILES = 64 << 20, 100
# It says something before, and goes on until it is ended.
WRITER = "echo 'a warning'; exec cat /dev/zero > large"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk of its own")
    options = f"size={DISK},nr_inodes={FILES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(tmp_path)], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_program_that_writes_more_than_an_image_may_hold_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_quota, "LARGEST_CONTENT", 1 << 20)
    watch = DiskQuota(str(tmp_path), "the image").watch
    with pytest.raises(ImageError, match="the image expands to more than"):
        run_mapped(IdMap("host"), ["sh", "-c", WRITER], cwd=str(tmp_path), watch=watch)


def test_content_is_written_until_the_disk_is_nearly_full(disk: Path) -> None:
    content = DiskQuota(str(disk), "the image").content([bytes(1 << 20)] * (DISK >> 20))
    refusal = f"no space is left in {disk} to unpack the image"
    with open(disk / "file", "wb", buffering=0) as file, pytest.raises(HostError, match=refusal):
        file.writelines(content)
    about = os.statvfs(disk)
    assert 0 < about.f_bavail * about.f_frsize < DISK // disk_quota.RESERVED_PART


def test_a_disk_can_be_full_of_files(disk: Path) -> None:
    space = DiskQuota(str(disk), "the image")
    for number in range(FILES - FILES // disk_quota.RESERVED_PART - 2):
        space.check()
        (disk / str(number)).touch()
    for number in range(FILES // disk_quota.RESERVED_PART // 2):
        (disk / f"more-{number}").touch()
    with pytest.raises(HostError, match="make room"):
        space.check()


def test_what_a_watched_program_says_is_all_there() -> None:
    code, said = run_mapped(
        IdMap("host"), ["sh", "-c", "echo first; head -c 300000 /dev/zero; exit 3"], watch=lambda _: None
    )
    assert (code, said) == (3, b"first\n" + bytes(300_000))
