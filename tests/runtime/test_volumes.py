"""The volumes of a container: what is put into one, and what is copied out of the other."""

import os
import stat
from pathlib import Path

import pytest

from tweed_shim.runtime import mounts, volumes
from tweed_shim.runtime.volumes import MOST_NAMED, NOT_PLAIN

USER = (os.geteuid(), os.getegid())


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.mkdir()
    return path


def copied(
    volume: Path, *names: str, every: bool = False, limit: int = 1 << 20
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the files that are copied out of a volume, and the reasons for those that are not."""
    directory = volume.parent / "copied"
    directory.mkdir()
    volumes.copy_out(
        os.fspath(volume), directory=os.fspath(directory), names=[*names], every=every, limit=limit
    )
    paths = sorted(directory.iterdir())
    contents = {path.name: path.read_bytes() for path in paths if not path.is_symlink()}
    return contents, {path.name: os.readlink(path) for path in paths if path.is_symlink()}


def test_inputs_are_private_files_of_these_bytes(tmp_path: Path) -> None:
    directory = tmp_path / "inputs"
    content = bytes(range(256))
    volumes.fill(os.fspath(directory), files={"name": content.decode("latin-1")}, host_files={}, user=USER)
    assert (directory / "name").read_bytes() == content
    assert stat.S_IMODE((directory / "name").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_files_of_the_host_are_bound_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound: list[tuple[str, str]] = []
    monkeypatch.setattr(mounts, "bind_read_only", lambda source, target: bound.append((source, target)))
    source = tmp_path / "of the host"
    source.write_bytes(b"x")
    directory = os.fspath(tmp_path / "inputs")
    volumes.fill(directory, files={}, host_files={"name": os.fspath(source)}, user=USER)
    assert bound == [(os.fspath(source), os.path.join(directory, "name"))]


def test_only_the_named_files_are_copied_unless_every_one_is_wanted(volume: Path) -> None:
    for name in ("a", "b"):
        (volume / name).write_text(name)
    assert copied(volume, "a", "missing") == ({"a": b"a"}, {})
    (volume.parent / "copied").rename(volume.parent / "before")
    assert copied(volume, "b", every=True) == ({"a": b"a", "b": b"b"}, {})


def test_named_files_have_the_space_before_others(volume: Path) -> None:
    for name in ("a", "z"):
        (volume / name).write_bytes(bytes(1 << 20))
    contents, reasons = copied(volume, "z", every=True)
    assert list(contents) == ["z"]
    assert reasons == {"a": "outputs have 1 MiB together at most"}


def test_links_pipes_and_directories_are_left_out_with_the_reason(volume: Path) -> None:
    (volume / "link").symlink_to("/etc/passwd")
    (volume / "directory").mkdir()
    os.mkfifo(volume / "pipe")
    assert copied(volume, every=True) == (
        {},
        {
            "directory": f"{NOT_PLAIN}a directory",
            "link": f"{NOT_PLAIN}a symbolic link",
            "pipe": f"{NOT_PLAIN}a named pipe",
        },
    )


def test_one_reason_stands_for_all_beyond_a_bound(volume: Path) -> None:
    for number in range(MOST_NAMED + 5):
        (volume / f"{number:02}").symlink_to("nowhere")
    contents, reasons = copied(volume, every=True)
    assert (contents, len(reasons)) == ({}, MOST_NAMED + 1)
    assert reasons[f"{MOST_NAMED:02}"] == f"{NOT_PLAIN}and 4 more like it"
