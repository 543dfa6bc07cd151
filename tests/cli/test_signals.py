"""Signals at the command line: during a pull, an unpacking, a run and a commit; twice; ignored; and a closed pipe."""

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import NoReturn

import pytest

from accounts import Account
from backend_chaos import BackendTarget, push_victims
from host_programs import with_libraries
from installed import SYSTEM_PATH, Shim, fresh_shim
from layouts import build_layout
from script_images import METADATA, ScriptImage
from servers import Fault, FaultyProxy, RegistryServer, faulty_proxy
from tweed_shim.cli import commands, main, signals
from tweed_shim.runtime.io_loop import GRACE

PATIENCE = 60
ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(scope="module")
def victims(registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return push_victims(registry, os.fspath(tmp_path_factory.mktemp("victims")))


@pytest.fixture
def proxy(registry: RegistryServer) -> Iterator[FaultyProxy]:
    with faulty_proxy(registry.host) as running:
        yield running


@pytest.fixture
def root(accounts: dict[str, Account], program: str) -> Iterator[Shim]:
    with fresh_shim(accounts["root"], program) as shim:
        yield shim


def ended_tidily(shim: Shim, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    out, output = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (128 + number, b""), output
    assert b"Traceback" not in output
    for place in ("tmp", "rootfs"):
        assert os.listdir(os.path.join(shim.root, place)) == []
    assert json.loads(shim.run("images", "--json").out) == []


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_a_pull_and_leaves_nothing(
    root: Shim, victims: tuple[str, str], proxy: FaultyProxy, number: signal.Signals
) -> None:
    proxy.spoil("GET .*/blobs/", Fault(stall=1000), times=4)
    name = victims[0].partition("/")[2]
    with root.start("pull", f"{proxy.host}/{name}") as process:
        assert proxy.stalling.wait(PATIENCE)
        process.send_signal(number)
        ended_tidily(root, process, number)


def stuck_umoci(shim: Shim) -> tuple[str, int]:
    """A PATH on which umoci says that it was started and never ends, and where it says so."""
    directory = os.path.join(os.path.dirname(shim.root), "stuck")
    os.mkdir(directory)
    started = os.path.join(directory, "started")
    os.mkfifo(started)
    os.chmod(started, 0o666)
    path = os.path.join(directory, "umoci")
    with open(path, "w", encoding="ascii") as file:
        file.write(f'#!/bin/bash\necho yes > {started}\nexec -a "umoci $*" sleep 1000\n')
    os.chmod(path, 0o755)
    return f"{directory}:{SYSTEM_PATH}", os.open(started, os.O_RDONLY | os.O_NONBLOCK)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_an_unpacking_and_leaves_nothing(
    shim: Shim, victims: tuple[str, str], number: signal.Signals
) -> None:
    path, started = stuck_umoci(shim)
    try:
        with shim.start("pull", victims[0], env={"PATH": path}) as process:
            assert select.select([started], [], [], PATIENCE)[0]
            process.send_signal(number)
            ended_tidily(shim, process, number)
    finally:
        os.close(started)
    assert shim.run("pull", victims[0]).code == 0


@pytest.fixture
def interrupting() -> Iterator[None]:
    """The program's own handlers of signals, in this process."""
    before = {number: signal.getsignal(number) for number in (*ENDING, signal.SIGCHLD, signal.SIGALRM)}
    mask = os.umask(0o077)
    signals.interrupting()
    yield
    os.umask(mask)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_that_comes_when_the_container_has_just_ended_is_not_lost(interrupting: None) -> None:
    with pytest.raises(signals.Interrupted), signals.passed_on():
        signal.raise_signal(signal.SIGTERM)


class Closing:
    """Is interrupted where Python takes no exception."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_is_not_lost_where_python_drops_its_exception(
    interrupting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", signals.raise_again)

    def work() -> None:
        closing = Closing()
        del closing
        select.select([], [], [], PATIENCE)

    with pytest.raises(signals.Interrupted) as interrupted:
        work()
    assert interrupted.value.number == signal.SIGTERM


def test_a_signal_that_became_another_exception_is_not_lost(
    interrupting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrapped(_: list[str]) -> NoReturn:
        try:
            signal.raise_signal(signal.SIGHUP)
        except BaseException as error:
            raise RuntimeError("as importing does") from error
        raise AssertionError("nothing has come")

    monkeypatch.setattr(commands, "parse", wrapped)
    assert main.main(["images"]) == 128 + signal.SIGHUP


def test_a_signal_that_the_container_was_sent_does_nothing_more(interrupting: None) -> None:
    with signals.passed_on() as numbers:
        signal.raise_signal(signal.SIGTERM)
        assert os.read(numbers, 10) == bytes([signal.SIGTERM])


def empty(shim: Shim) -> str:
    """A file with a configuration that says nothing."""
    path = os.path.join(os.path.dirname(shim.root), "empty.json")
    with open(path, "w", encoding="ascii") as file:
        file.write("{}")
    os.chmod(path, 0o644)
    return path


STUBBORN = f"""
case $1 in metadata) {METADATA}; exit;; esac
trap 'echo interrupted' INT
trap 'echo hung up' HUP
trap 'exit 0' TERM
echo begun
while :; do sleep 1000 & wait $!; done
"""


def test_a_second_interrupt_does_not_wait_for_the_image(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(STUBBORN)
    assert shim.run("exec", image, "metadata").code == 0
    with shim.start("exec", image, "configure", "--config", empty(shim)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"interrupted\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGINT
    newest = json.loads(shim.run("logs", "--json").out)[0]
    assert newest["seconds"]["run"] < GRACE


# Each cleans up in a way of its own, and takes longer than a look at whether it is still there.
CLEANING = {
    "without a handler": "trap 'trap - TERM; echo cleaning; sleep 0.5; echo cleaned; exit 0' TERM",
    "in another program": (
        "mkdir /tmp/other; cp /bin/sh /tmp/other/sh; "
        """trap 'exec /tmp/other/sh -c "trap \\"echo again\\" TERM; echo cleaning; sleep 0.5; echo cleaned"' TERM"""
    ),
}


@pytest.mark.parametrize("way", CLEANING)
def test_an_image_is_told_once_and_left_to_clean_up(shim: Shim, script_image: ScriptImage, way: str) -> None:
    image = script_image(
        f"case $1 in metadata) {METADATA}; exit;; esac\n{CLEANING[way]}\necho begun; while :; do sleep 0.1; done"
    )
    with shim.start("exec", image, "configure", "--config", empty(shim)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (128 + signal.SIGTERM, b"cleaning\ncleaned\n")


# How the small inits that people put first are called, and what they are called by.
INITS = {"tini-static": ("-s",), "catatonit": (), "dumb-init": ()}


@pytest.mark.parametrize("init", INITS)
def test_an_init_passes_a_signal_on_and_has_time_for_that(
    shim: Shim, public_directory: str, init: str
) -> None:
    program = shutil.which(init)
    assert program is not None
    script = f"""#!/bin/sh
case $1 in metadata) {METADATA}; exit;; esac
trap 'echo cleaning; sleep 0.5; echo cleaned; exit 0' TERM
echo begun; while :; do sleep 0.1; done
"""
    layout = os.path.join(public_directory, f"{init}-{shim.account.kind}")
    build_layout(
        layout,
        entrypoint=(program, *INITS[init], "--", "/script"),
        files={**with_libraries([program]), "script": script},
        compression="none",
    )
    with shim.start("exec", f"oci:{layout}", "configure", "--config", empty(shim)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM
    # dumb-init signals every process of the group, so that the shell tells of its `sleep` before.
    assert out.endswith(b"cleaning\ncleaned\n")


def test_an_image_that_was_asked_to_end_is_not_asked_again_when_its_time_is_up(
    root: Shim, script_image: ScriptImage
) -> None:
    image = script_image(
        f"case $1 in metadata) {METADATA}; exit;; esac\n"
        "trap 'echo cleaning; sleep 3; echo cleaned; exit 0' INT; echo begun; while :; do sleep 0.1; done"
    )
    assert root.run("exec", image, "metadata").code == 0
    with root.start("exec", image, "configure", "--config", empty(root), "--timeout", "2") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (128 + signal.SIGINT, b"cleaning\ncleaned\n")


def test_a_signal_that_nohup_ignores_is_ignored(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(STUBBORN)
    assert shim.run("exec", image, "metadata").code == 0
    with subprocess.Popen(
        ["nohup", shim.program, "--root", shim.root, "exec", image, "configure", "--config", empty(shim)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=shim.environment(),
        user=shim.account.uid,
        group=shim.account.gid,
        extra_groups=[],
        cwd=os.path.dirname(shim.root),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (128 + signal.SIGTERM, b"")


@pytest.mark.chaos
def test_a_signal_at_any_step_ends_an_operation_or_comes_too_late(
    root: Shim, victims: tuple[str, str]
) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    target = BackendTarget(root, victims, chance)
    found = [
        target.round(operation, chance.choice(ENDING))
        for operation in chance.sample(BackendTarget.OPERATIONS, 4)
    ]
    anomalies = [each for round_found in found for each in round_found.anomalies]
    assert not anomalies, f"seed {seed}"


@pytest.mark.parametrize("command", ["images", "clouds", "logs", "version", "--help", "exec --help"])
def test_a_reader_that_stops_reading_ends_a_command_quietly(root: Shim, command: str) -> None:
    read, write = os.pipe()
    os.close(read)
    words = [root.program, "--root", root.root, *command.split()]
    with subprocess.Popen(words, stdout=write, stderr=subprocess.PIPE, env=root.environment()) as process:
        os.close(write)
        _, output = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (128 + signal.SIGPIPE, b"")


def test_an_image_runs_on_without_a_reader_of_its_output(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(
        f"case $1 in metadata) {METADATA};; configure) yes | head -c 300000; echo yes > $OUT_CONFIG/done;; esac"
    )
    assert shim.run("exec", image, "metadata").code == 0
    with shim.start("exec", image, "configure", "--config", empty(shim)) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, output = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (0, b"")
    assert len(shim.run("logs", "2").out) == 300000


def test_a_child_that_has_the_pipe_for_signals_open_disturbs_nothing() -> None:
    """A sandbox that is started ahead has it for a moment: between its fork and the closing of what it inherits."""
    with signals.passed_on():
        # Python's only way to the other end of the pipe is to set it again.
        write = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        inherited = os.dup(write)
    os.close(inherited)
