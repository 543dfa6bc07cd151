"""Changes that are whole or have not happened, when a signal comes in between."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tweed_shim import files


def interrupted_after(action: Callable[..., Any]) -> Callable[..., Any]:
    """The same action, in which a signal's handler raises as soon as it is done."""

    def act(*arguments: Any) -> None:
        action(*arguments)
        raise KeyboardInterrupt

    return act


@pytest.mark.parametrize(
    "change",
    [lambda path: files.write_whole(path, b"new"), lambda path: files.point_link(path, "new")],
    ids=["file", "link"],
)
def test_a_signal_right_after_the_rename_is_what_is_raised_and_leaves_nothing_beside(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch, change: Callable[[str], None]
) -> None:
    directory = os.fspath(tmp_path)
    monkeypatch.setattr(os, "rename", interrupted_after(os.rename))
    with pytest.raises(KeyboardInterrupt):
        change(os.path.join(directory, "it"))
    assert os.listdir(directory) == ["it"]


def test_what_is_no_plain_file_is_written_into_and_stays(tmp_path: os.PathLike[str]) -> None:
    reader, writer = os.pipe()
    try:
        pipe = f"/proc/self/fd/{writer}"
        assert files.is_special(pipe)
        files.write_named(pipe, b"new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_is_never_replaced(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "null")
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    files.write_named(path, b"new")
    assert stat.S_ISCHR(os.stat(path).st_mode)
    assert os.listdir(tmp_path) == ["null"]


def test_a_plain_file_is_replaced_whole(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "it")
    for data in (b"old", b"new"):
        files.write_named(path, data)
        with open(path, "rb") as file:
            assert file.read() == data
    assert os.listdir(tmp_path) == ["it"]


def test_new_directories_are_synced_into_their_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(files, "sync_directory", synced.append)
    files.make_private(str(tmp_path / "a" / "b"), durable=True)
    assert synced == [str(tmp_path), str(tmp_path / "a")]
    files.make_private(str(tmp_path / "a" / "b"), durable=True)
    assert len(synced) == 2, "nothing was made"
