"""Changes of files are whole or do not happen, also when a signal comes in between."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tweed_shim.base import files


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


def test_new_directories_are_synced_into_their_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(files, "sync_directory", synced.append)
    files.make_private(str(tmp_path / "a" / "b"), durable=True)
    assert synced == [str(tmp_path), str(tmp_path / "a")]
    files.make_private(str(tmp_path / "a" / "b"), durable=True)
    assert len(synced) == 2, "nothing was made"
