"""Remove trees that a container wrote."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tweed_shim.errors import HostError
from tweed_shim.host import owned_trees, userns


@contextmanager
def swapping(path: Path, target: str) -> Iterator[None]:
    """Within the block a directory and a link to a target take turns at a path, until one of them is gone."""
    ended = threading.Event()

    def swap() -> None:
        with suppress(OSError):
            os.symlink(target, f"{path}.link")
            while not ended.is_set():
                os.rename(path, f"{path}.aside")
                os.rename(f"{path}.link", path)
                os.rename(path, f"{path}.link")
                os.rename(f"{path}.aside", path)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_tree_that_changes_while_it_is_removed_takes_nothing_else_with_it(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    names = [f"file{number}" for number in range(20)]
    for name in names:
        (victim / name).touch()
    for number in range(30):
        tree = tmp_path / f"tree{number}"
        (tree / "a").mkdir(parents=True)
        for name in names:
            (tree / "a" / name).touch()
        # What swaps ends when what it swaps is gone.
        with suppress(HostError), swapping(tree / "a", os.fspath(victim)):
            owned_trees.remove_tree(userns.IdMap("host"), os.fspath(tree))
    assert sorted(os.listdir(victim)) == sorted(names)


def test_a_tree_is_removed_however_deep_it_is_and_its_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    tree = tmp_path / "tree"
    (tree / ("d/" * 2 * owned_trees.DEEPEST)).mkdir(parents=True)
    for path in (tree / "link", tree / "d/link"):
        path.symlink_to(tmp_path / "kept")
    os.mkfifo(tree / "d/pipe")
    owned_trees.remove_tree(userns.IdMap("host"), os.fspath(tree))
    assert sorted(os.listdir(tmp_path)) == ["kept"]
    assert os.listdir(tmp_path / "kept") == ["file"]


def test_a_host_without_user_namespaces_is_named_when_a_tree_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise userns.NamespaceError(errno.EPERM, "no user namespace can be made")

    monkeypatch.setattr(owned_trees, "run_mapped", refuse)
    with pytest.raises(HostError, match=r"cannot be made yours \(no user namespace can be made\); run it as"):
        owned_trees.take_over(userns.IdMap("range"), os.fspath(tmp_path / "missing"))
