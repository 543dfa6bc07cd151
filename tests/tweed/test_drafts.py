"""Kills and faults of the disk between an image's success and its record: nothing in a backend is lost sight of.

The image's run is played by a function here, so that each system call of the commit can be hit. The backend is a
directory with a file for each interaction that is set up.
"""

import errno
import os
import signal
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from script_images import METADATA, ScriptImage
from tweed_shim import Shim
from tweed_shim.base import files
from tweed_shim.cli.main import main
from tweed_shim.cli.signals import Interrupted
from tweed_shim.errors import NotRecorded, OperationFailed, StateError
from tweed_shim.runtime import container
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.container import RunContext
from tweed_shim.runtime.request import Outcome, Request
from tweed_shim.tweed import drafts
from tweed_shim.tweed.contract import IN_CONFIG, OUT_CONFIG

# Of the functions of `os`, those by which the store is changed; each call may be the last.
CALLS = ("open", "mkdir", "symlink", "pwrite", "ftruncate", "truncate", "fsync", "rename", "unlink", "rmdir")
ENVIRONMENT = {"A": "b"}


class World:
    """A store whose image is played, and the backend that it works on.

    after: called as soon as an image has ended. late: called when signals interrupt the shim again.
    """

    def __init__(self, root: Path, image: str) -> None:
        self.image = image
        self.root = str(root / "store")
        self.made = root / "backend"
        self.made.mkdir()
        self.said: list[str] = []
        self.shim = Shim(self.root, console=Console(warn=self.said.append))
        self.backend = self.shim.backend(image)
        self.after: Callable[[], None] = lambda: None
        self.late: Callable[[], None] = lambda: None
        self.fails = ""

    def play(self, request: Request, context: RunContext) -> Outcome:
        """Do what the image would do."""
        context.meanwhile()
        mounts = {mount.destination: Path(mount.source) for mount in request.mounts}
        operation = request.process.args[-1]
        if operation == "setup":
            token = uuid.uuid4().hex
            (self.made / token).touch()
            (mounts[OUT_CONFIG] / "token").write_text(token)
        elif operation == "teardown":
            (self.made / (mounts[IN_CONFIG] / "token").read_text()).unlink(missing_ok=True)
        self.after()
        result = b"backend: tweed/v1\nname: n\nversion: v\n" if operation == "metadata" else b"A: b\n"
        code = 3 if operation == self.fails else 0
        if code == 0:
            context.succeeded(result)
        self.late()
        return Outcome(
            exit_code=code,
            signal=None,
            result=result,
            overflow=False,
            timed_out=False,
            oom=False,
            full="",
            seconds={},
        )

    def interactions(self) -> tuple[str, ...]:
        return self.shim.clouds()[0].interactions

    def slot(self, interaction: str) -> str:
        return os.path.join(self.root, "clouds", "default", "interactions", interaction)

    def killed_at(self, number: int, work: Callable[[], object]) -> bool:
        """Do some work in a child that is killed before its n-th call after the image's end; False if it did not come
        to that.
        """
        child = os.fork()
        if child == 0:
            try:
                self.after = lambda: _kill_at(number)
                work()
                os._exit(0)
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, -signal.SIGKILL)
        return code != 0


def _kill_at(number: int) -> None:
    left = number

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def counting(*arguments: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return counting

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))


@pytest.fixture
def world(tmp_path: Path, script_image: ScriptImage, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, script_image(f"case $1 in metadata) {METADATA} ;; esac"))
    monkeypatch.setattr(container, "run", made.play)
    made.backend.configure({})
    return made


@pytest.mark.parametrize("replace", [False, True])
def test_a_setup_that_is_killed_after_its_image_succeeded_is_found_and_torn_down(
    world: World, replace: bool
) -> None:
    number = 0
    while True:
        number += 1
        interaction = f"i{number}"
        if replace:
            world.backend.setup(interaction)
        for token in list(world.made.iterdir()):
            token.unlink()  # of what was replaced, or could not be known
        if not world.killed_at(number, partial(world.backend.setup, interaction, replace=replace)):
            break
        [token] = world.made.iterdir()
        world.said.clear()
        world.shim.gc()
        if number == 1:
            # Nobody knows yet that the image has succeeded: it is said, and not more than that can be.
            assert world.interactions() == ((interaction,) if replace else ())
            world.backend.setup(interaction, replace=replace)
            world.backend.teardown(interaction)
            continue
        assert world.interactions() == (interaction,), number
        assert world.shim.environment(interaction=interaction) == ENVIRONMENT
        with pytest.raises(StateError, match="already set up"):
            world.backend.setup(interaction)
        world.backend.teardown(interaction)
        assert list(world.made.iterdir()) == [], number
        assert world.interactions() == ()
        assert not os.path.exists(world.slot(interaction))
    assert number > 6, "the commit has more steps than that"


def test_a_setup_that_was_killed_while_its_image_ran_is_reported(world: World) -> None:
    assert world.killed_at(1, lambda: world.backend.setup("shop"))
    assert world.interactions() == ()
    world.backend.setup("shop")
    line, kept = world.said
    assert "a setup of interaction 'shop' of cloud 'default' was interrupted while its image ran" in line
    assert f"what it had written is kept in {world.slot('shop')}/interrupted; teardown of interaction" in kept
    world.said.clear()
    world.backend.teardown("shop")
    assert world.said == []


def test_an_interrupted_commit_is_named_with_the_command_that_tears_it_down(world: World) -> None:
    assert world.killed_at(4, lambda: world.backend.setup("shop"))
    with pytest.raises(StateError):
        world.backend.setup("shop")
    [line] = world.said
    assert line.endswith(
        f"tear it down with: tweed-shim exec {world.image} teardown --cloud default --interaction shop"
    )
    # It is finished now.
    assert os.path.lexists(os.path.join(world.slot("shop"), "current"))
    assert drafts.unfinished(world.slot("shop")) is None


def test_a_signal_that_comes_when_the_image_has_succeeded_does_not_lose_the_interaction(world: World) -> None:
    def interrupt() -> None:
        raise Interrupted(signal.SIGTERM)

    world.late = interrupt
    with pytest.raises(Interrupted):
        world.backend.setup("shop")
    world.late = lambda: None
    [line] = world.said
    assert "a setup of interaction 'shop' of cloud 'default' was interrupted after" in line
    assert world.interactions() == ("shop",)
    world.backend.teardown("shop")
    assert list(world.made.iterdir()) == []


def test_the_directories_of_a_new_interaction_are_on_the_disk_before_it_counts_as_set_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = files.sync_directory

    def note(path: str) -> None:
        synced.append(path)
        sync(path)

    monkeypatch.setattr(files, "sync_directory", note)
    before: list[str] = []
    world.after = lambda: before.extend(synced)
    world.backend.setup("shop")
    place = world.slot("shop")
    names = [place]
    while names[-1] != world.root:
        names.append(os.path.dirname(names[-1]))
    assert set(names) <= set(before)
    assert [path for path in before if path.startswith(f"{place}/draft-")]


def test_an_unfinished_interaction_keeps_its_cloud_and_its_image(world: World) -> None:
    assert world.killed_at(4, lambda: world.backend.setup("shop"))
    with pytest.raises(StateError, match=r"still has interactions set up \(shop\)"):
        world.shim.remove_cloud("default")
    with pytest.raises(StateError, match="in use by"):
        world.shim.remove([world.image])
    world.shim.forget("default", "shop")
    assert world.interactions() == ()
    assert not os.path.exists(world.slot("shop"))


def test_a_teardown_that_is_killed_after_its_image_succeeded_is_done_or_can_be_done_again(
    world: World,
) -> None:
    number = 0
    while True:
        number += 1
        interaction = f"i{number}"
        world.backend.setup(interaction)
        if not world.killed_at(number, partial(world.backend.teardown, interaction)):
            break
        if world.interactions():
            world.backend.teardown(interaction)
        assert world.interactions() == ()
        with pytest.raises(StateError, match="is not set up"):
            world.backend.teardown(interaction)
        assert not os.path.exists(world.slot(interaction))
    assert number > 4


def test_a_configure_that_is_killed_leaves_the_old_configuration_or_the_new_one(world: World) -> None:
    number = 0
    while world.killed_at(number := number + 1, lambda: world.backend.configure({})):
        world.backend.check()
        world.backend.configure({})
        assert not [
            name for name in os.listdir(os.path.join(world.root, "clouds/default/config")) if "draft" in name
        ]
    assert number > 6


def test_a_failed_setup_leaves_no_directory(world: World) -> None:
    world.fails = "setup"
    with pytest.raises(OperationFailed):
        world.backend.setup("shop")
    assert os.listdir(os.path.join(world.root, "clouds", "default", "interactions")) == []


def _refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for name in names:
        monkeypatch.setattr(os, name, refuse)


def test_a_commit_that_the_disk_refuses_is_finished_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        world.after = lambda: _refuse(patch, "rename")
        assert dict(world.backend.setup("shop")) == ENVIRONMENT
        [line] = world.said
        assert "is set up, and the record of it could not be completed" in line
        assert world.interactions() == ("shop",)
        assert world.shim.environment(interaction="shop") == ENVIRONMENT
    world.after = lambda: None
    world.backend.teardown("shop")
    assert list(world.made.iterdir()) == []


def test_a_record_that_the_disk_refuses_is_an_interaction_without_an_environment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        world.after = lambda: _refuse(patch, "pwrite")
        assert dict(world.backend.setup("shop")) == ENVIRONMENT
    world.after = lambda: None
    assert "its environment could not be recorded" in world.said[0]
    assert world.interactions() == ("shop",)
    with pytest.raises(StateError, match="is not on record"):
        world.shim.environment(interaction="shop")
    world.backend.teardown("shop")
    assert list(world.made.iterdir()) == []


def test_a_full_disk_does_not_lose_the_environment_of_a_setup(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--root", world.root, "exec", world.image, "setup", "--interaction"]
    with monkeypatch.context() as patch:
        world.after = lambda: _refuse(patch, "pwrite", "rename")
        with pytest.raises(NotRecorded, match=r"setup of .* has succeeded") as caught:
            world.backend.setup("shop")
    assert caught.value.environment == ENVIRONMENT
    with monkeypatch.context() as patch:
        world.after = lambda: _refuse(patch, "pwrite", "rename")
        assert main([*words, "blog"]) == 125
    out, err = capfd.readouterr()
    assert out == 'A: "b"\n'
    kept = err.partition("what teardown would need is in ")[2].partition(",")[0]
    assert (world.made / Path(kept, "token").read_text()).exists()


def test_a_setup_whose_record_the_disk_refuses_is_reported_and_can_be_torn_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        world.after = lambda: _refuse(patch, "pwrite", "rename")
        with pytest.raises(NotRecorded):
            world.backend.setup("blog")
    world.after = lambda: None
    [lost] = world.made.iterdir()
    world.fails = "setup"
    with pytest.raises(OperationFailed):
        world.backend.setup("blog")
    world.fails = ""
    assert any("what it had written is kept in" in line for line in world.said)
    world.shim.gc()
    [state] = world.shim.clouds()
    assert state.interactions == ()
    assert [(each.name, each.image, each.interrupted) for each in state.setups] == [
        ("blog", world.image, True)
    ]
    with pytest.raises(StateError, match=r"still has interactions set up \(blog\)"):
        world.shim.remove_cloud("default")
    with pytest.raises(StateError, match="interaction 'blog' of cloud 'default'"):
        world.shim.remove([world.image])
    world.backend.teardown("blog")
    assert not lost.exists()
    assert world.shim.clouds()[0].setups == ()
    assert not os.path.exists(world.slot("blog"))


def test_an_interrupted_setup_can_be_torn_down_or_given_up(world: World) -> None:
    assert world.killed_at(1, lambda: world.backend.setup("shop"))
    [lost] = world.made.iterdir()
    world.shim.gc()
    [state] = world.shim.clouds()
    assert [(each.name, each.interrupted) for each in state.setups] == [("shop", True)]
    world.backend.teardown("shop")
    assert not lost.exists()
    assert world.killed_at(1, lambda: world.backend.setup("blog"))
    world.shim.forget("default", "blog")
    assert world.shim.clouds()[0].setups == ()
    assert not os.path.exists(world.slot("blog"))
