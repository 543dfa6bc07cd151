"""`--scratch DIR` and kill -9: what a killed run wrote is swept, and other files stay."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from accounts import Account
from installed import Shim, done, fresh_shim, processes, survivors
from script_images import METADATA, ScriptImage

SCRIPT = f"""case $1 in
metadata) {METADATA} ;;
configure)
    value=$(cat)
    head -c 100000 /dev/zero > /written
    echo up >&2
    case $value in *stay*) exec sleep 1000 ;; esac
    ;;
esac"""


@pytest.fixture
def image(script_image: ScriptImage) -> str:
    return script_image(SCRIPT)


def new_scratch(shim: Shim, name: str = "scratch") -> str:
    path = os.path.join(os.path.dirname(shim.root), name)
    os.mkdir(path)
    os.chown(path, shim.account.uid, shim.account.gid)
    return path


@contextmanager
def running(shim: Shim, image: str, scratch: str) -> Iterator[None]:
    """An operation that has written to its root, and goes on until it is killed at the end of the block."""
    call = ("exec", image, "configure", "--cloud", "stays", "--config", "-", "--scratch", scratch)
    with shim.start(*call, stdin=-1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"do": "stay"}')
        process.stdin.close()
        process.stdin = None
        while process.stdout.readline() != b"up\n":
            assert process.poll() is None
        try:
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    assert survivors(processes(shim.root, shim.account)) == []


def killed(shim: Shim, image: str, scratch: str) -> list[str]:
    with running(shim, image, scratch):
        pass
    return os.listdir(scratch)


def run(shim: Shim, image: str, scratch: str) -> None:
    done(shim.run("exec", image, "configure", "--config", "-", "--scratch", scratch, stdin=b"{}"))


def notes(shim: Shim) -> list[str]:
    return os.listdir(os.path.join(shim.root, "scratch-directories"))


def gc(shim: Shim, *options: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(done(shim.run("gc", "--json", *options)).out)
    return found


def test_gc_sweeps_what_a_killed_run_left_in_its_scratch(shim: Shim, image: str) -> None:
    scratch = new_scratch(shim)
    [left] = killed(shim, image, scratch)
    [would] = [each for each in gc(shim, "--dry-run") if each["kind"] == "work"]
    assert would["name"] == os.path.join(scratch, left)
    assert int(str(would["size"])) >= 100_000
    assert os.listdir(scratch) == [left]
    assert would in gc(shim)
    assert os.listdir(scratch) == []


def test_the_next_run_with_the_same_scratch_sweeps_it(shim: Shim, image: str) -> None:
    scratch = new_scratch(shim)
    os.symlink(scratch, f"{scratch}-link")
    assert len(killed(shim, image, f"{scratch}-link")) == 1
    run(shim, image, scratch)
    assert os.listdir(scratch) == []
    assert len(notes(shim)) == 1


def test_files_of_others_stay_in_a_scratch_directory(
    shim: Shim, image: str, accounts: dict[str, Account], program: str
) -> None:
    scratch = new_scratch(shim)
    for name in ("work-mine", "work-0123456789abcdef", "work-fedcba9876543210", "old-0123456789abcdef"):
        os.mkdir(os.path.join(scratch, name))
    os.chmod(os.path.join(scratch, "work-0123456789abcdef"), 0o755)
    stranger = accounts["range"] if shim.account.kind == "single" else accounts["single"]
    os.chown(os.path.join(scratch, "work-fedcba9876543210"), stranger.uid, stranger.gid)
    os.chmod(os.path.join(scratch, "work-fedcba9876543210"), 0o700)
    with open(os.path.join(scratch, "work-0000000000000000"), "w", encoding="ascii") as file:
        file.write("a file")
    before = set(os.listdir(scratch))
    assert len(killed(shim, image, scratch)) == len(before) + 1
    gc(shim)
    assert set(os.listdir(scratch)) == before
    # A run of another store has its directory there; it is locked for as long as that run goes on.
    with fresh_shim(shim.account, program) as other:
        with running(other, image, scratch):
            gc(shim)
            run(shim, image, scratch)
            assert len(os.listdir(scratch)) == len(before) + 1
        gc(other)


def test_a_scratch_that_is_gone_is_forgotten_and_a_damaged_note_is_named(shim: Shim, image: str) -> None:
    scratch, gone = new_scratch(shim), new_scratch(shim, "gone % ü")
    assert len(killed(shim, image, scratch)) == 1
    run(shim, image, gone)
    assert len(notes(shim)) == 2
    os.rmdir(gone)
    gc(shim, "--dry-run")
    assert len(notes(shim)) == 2
    gc(shim)
    [note] = notes(shim)
    assert len(killed(shim, image, scratch)) == 1
    path = os.path.join(shim.root, "scratch-directories", note)
    with open(path, "w", encoding="ascii") as file:
        file.write("[1]")
    result = done(shim.run("gc"))
    assert f"{path} is damaged".encode() in result.err
    assert f"--scratch {scratch} once more".encode() in result.err
    assert len(os.listdir(scratch)) == 1
    run(shim, image, scratch)
    assert os.listdir(scratch) == []
    assert b"damaged" not in done(shim.run("gc")).err


def test_a_scratch_that_is_refused_is_not_noted(shim: Shim, image: str) -> None:
    result = shim.run("exec", image, "metadata", "--scratch", "/proc")
    assert result.code == 125
    assert b"the scratch '/proc' cannot be used" in result.err
    assert not os.path.exists(os.path.join(shim.root, "scratch-directories"))
