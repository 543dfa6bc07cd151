"""Runs of containers as root, from a Request to its Outcome: streams, ends, root file systems, limits."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from leftovers import work_directory
from run_requests import program_request
from tweed_shim.base import files
from tweed_shim.base.records import replace
from tweed_shim.errors import HostError, ImageError
from tweed_shim.host.userns import IdMap, IdRange
from tweed_shim.runtime import cgroups, container, host
from tweed_shim.runtime.cgroups import Cgroups
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.container import RunContext
from tweed_shim.runtime.options import Limits
from tweed_shim.runtime.request import RESULT_LIMIT, Mount, Outcome, Request
from tweed_shim.runtime.sandbox_process import SandboxProcess

MEGABYTES = 10 << 20
NOWHERE = Console()

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="runs of root; those of other users are tested through the command line"
)


@pytest.fixture(scope="module")
def rootfs() -> Iterator[str]:
    with work_directory(mode=0o755) as path:
        for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "run", "var/tmp"):
            os.makedirs(os.path.join(path, name))
        shutil.copy("/bin/busybox", os.path.join(path, "bin/busybox"))
        subprocess.run(["/bin/busybox", "--install", "-s", os.path.join(path, "bin")], check=False)
        for name in (
            "sh",
            "cat",
            "head",
            "sleep",
            "kill",
            "true",
            "mkdir",
            "ls",
            "wc",
            "dd",
            "mount",
            "touch",
        ):
            link = os.path.join(path, "bin", name)
            if os.path.lexists(link):
                os.unlink(link)
            os.symlink("busybox", link)
        yield path


@pytest.fixture
def root() -> Iterator[str]:
    with work_directory() as path:
        yield path


Run = Callable[..., Outcome]


@pytest.fixture
def run(rootfs: str, root: str) -> Run:
    """Run a shell script in the busybox rootfs; further arguments are fields of its options and of Request."""

    def call(script: str, *, console: Console = NOWHERE, **values: Any) -> Outcome:
        return container.run(script_request(rootfs, script, **values), run_context(root, console))

    return call


def script_request(rootfs: str, script: str, **values: Any) -> Request:
    return program_request(rootfs, ("/bin/sh", "-c", script), host.inspect(), **values)


def run_context(root: str, console: Console = NOWHERE) -> RunContext:
    return RunContext(
        name=files.unique_name("test-"),
        root=root,
        runtime=host.require_program("runc"),
        host=host.inspect(),
        log=os.path.join(root, "log"),
        console=console,
    )


def log(root: str) -> bytes:
    with open(os.path.join(root, "log"), "rb") as file:
        return file.read()


@contextmanager
def another_thread() -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_ten_megabytes_in_and_out_on_both_streams(run: Run, root: str) -> None:
    data = os.urandom(MEGABYTES)
    outcome = run(f"cat > /in; head -c {MEGABYTES} /in >&2; wc -c < /in", stdin=data, stdout="result")
    assert (outcome.exit_code, outcome.result) == (0, b"%d\n" % MEGABYTES)
    assert log(root) == data


def test_both_streams_written_at_once_lose_nothing(run: Run, root: str) -> None:
    script = "yes out | head -c 9000000 & yes err | head -c 9000000 >&2 & cat > /dev/null; wait"
    outcome = run(script, stdin=os.urandom(MEGABYTES))
    assert outcome.exit_code == 0
    assert len(log(root)) == 18_000_000


def test_an_image_may_close_its_stdin_early(run: Run) -> None:
    outcome = run("exec < /dev/null; echo done", stdin=bytes(MEGABYTES), stdout="result")
    assert (outcome.exit_code, outcome.result) == (0, b"done\n")


def test_output_just_before_the_exit_is_not_lost(run: Run) -> None:
    for _ in range(10):
        outcome = run("head -c 60000 /dev/zero; exec kill -9 $$", stdout="result")
        assert len(outcome.result) == 60000


def test_no_stdin_reads_as_empty(run: Run) -> None:
    assert run("wc -c", stdout="result").result == b"0\n"


def test_the_exit_code_is_the_programs(run: Run) -> None:
    assert run("exit 42").exit_code == 42


def test_a_program_that_kills_itself_has_a_signal_and_no_exit_code(run: Run) -> None:
    outcome = run("sh -c 'kill -SEGV $$'; exit $?")
    assert outcome.exit_code == 128 + signal.SIGSEGV


def test_a_result_that_is_too_long_ends_the_run(run: Run) -> None:
    outcome = run("yes", stdout="result")
    assert outcome.overflow
    assert len(outcome.result) == RESULT_LIMIT


def test_a_timeout_ends_a_program_without_a_handler_at_once(run: Run) -> None:
    outcome = run("sleep 1000", timeout=0.2)
    assert outcome.timed_out
    assert outcome.seconds["run"] < container_grace()


def container_grace() -> float:
    from tweed_shim.runtime.io_loop import GRACE

    return GRACE


def test_a_timeout_lets_a_program_clean_up(run: Run) -> None:
    outcome = run("trap 'echo cleaned; exit 0' TERM; sleep 1000 & wait", timeout=0.5, stdout="result")
    assert outcome.timed_out
    assert outcome.result == b"cleaned\n"


def test_a_program_that_ignores_the_signal_is_killed_after_the_grace_time(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tweed_shim.runtime.io_loop.GRACE", 0.3)
    outcome = run("trap '' TERM; while :; do sleep 1; done", timeout=0.2)
    assert outcome.timed_out
    assert outcome.exit_code is None


def runtime_that(directory: str, does: str) -> str:
    path = os.path.join(directory, "runtime")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\n{does}\n")
    os.chmod(path, 0o755)
    return path


@pytest.mark.parametrize("does", ["exec sleep 1000", "trap '' TERM; sleep 1000"])
def test_a_runtime_that_hangs_is_killed_at_the_timeout(
    rootfs: str, root: str, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    for name in ("GRACE", "KILL_TIMEOUT"):
        monkeypatch.setattr(f"tweed_shim.runtime.io_loop.{name}", 0.2)
    context = replace(run_context(root), runtime=runtime_that(root, does))
    outcome = container.run(script_request(rootfs, "true", timeout=0.3), context)
    assert outcome.timed_out


def test_a_sandbox_that_is_killed_before_the_start_is_an_error(rootfs: str, root: str) -> None:
    context = replace(run_context(root), runtime=runtime_that(root, "exec sleep 1000"))
    before = set(children(os.getpid()))

    def kill_sandbox() -> None:
        [sandbox_process] = set(children(os.getpid())) - before
        os.kill(sandbox_process, signal.SIGKILL)

    with pytest.raises(HostError, match="ended from outside"):
        container.run(script_request(rootfs, "true"), replace(context, meanwhile=kill_sandbox))


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def test_a_reader_that_stopped_reading_does_not_delay_the_end(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tweed_shim.runtime.io_loop.KILL_TIMEOUT", 0.2)
    unread, full = os.pipe()
    outcome = run("yes", timeout=0.3, console=Console(stdout=full))
    assert outcome.timed_out
    os.close(unread)
    os.close(full)


@pytest.fixture
def no_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make mounts of overlays fail, as on a host without them."""

    def fail(*_: object, **options: object) -> None:
        raise OSError(19, "No such device")

    # A sandbox process that is a program of its own would not have the patch; a forked one has it.
    monkeypatch.setattr("tweed_shim.host.kernel.has_one_thread", lambda: True)
    monkeypatch.setattr("tweed_shim.runtime.mounts.mount_overlay", fail)


def test_an_image_runs_with_a_read_only_root_where_there_is_no_overlay(
    run: Run, root: str, rootfs: str, no_overlay: None
) -> None:
    warnings: list[str] = []
    outcome = run(
        "touch /x 2>/dev/null || echo no; touch /tmp/x /tweed/home/x && test -s /etc/resolv.conf",
        stdout="result",
        mounts=(Mount("/etc/passwd", "/etc/resolv.conf"), Mount(root, "/tweed/out", writable=True)),
        console=Console(warn=warnings.append),
    )
    assert (outcome.exit_code, outcome.result) == (0, b"no\n")
    assert ["read-only" in text for text in warnings] == [True]
    assert not os.path.exists(os.path.join(rootfs, "tweed"))


def test_without_user_attributes_on_tmpfs_the_layer_is_on_disk_at_once(
    rootfs: str, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Linux 6.6 a tmpfs has no user attributes. No sandbox is made only to find that out."""
    sandboxes: list[IdMap] = []
    set_attribute = os.setxattr

    class CountedSandboxProcess(SandboxProcess):
        def __init__(self, ids: IdMap, *, terminal: bool) -> None:
            sandboxes.append(ids)
            super().__init__(ids, terminal=terminal)

    def before_6_6(path: Any, *arguments: Any) -> None:
        if isinstance(path, int):
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        set_attribute(path, *arguments)

    monkeypatch.setattr(container, "SandboxProcess", CountedSandboxProcess)
    monkeypatch.setattr(os, "setxattr", before_6_6)
    own = (IdRange(0, 0, 1),)
    user = replace(host.inspect(), ids=IdMap("single", own, own), cgroups=Cgroups(0))
    outcome = container.run(
        script_request(rootfs, "rm -rf /var && mkdir /var && cat /proc/self/mountinfo", stdout="result"),
        replace(run_context(root), host=user),
    )
    assert outcome.exit_code == 0
    assert f"upperdir={os.path.join(root, 'tmp')}".encode() in outcome.result
    assert len(sandboxes) == 1


def test_after_a_failure_only_what_is_kept_is_synced(
    run: Run, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("kept", "other"):
        (tmp_path / name).mkdir()

    def record(directory: str) -> None:
        with open(tmp_path / "synced", "a", encoding="ascii") as file:
            file.write(f"{os.path.basename(directory)} ")

    # A sandbox process that is a program of its own would not have the patch; a forked one has it.
    monkeypatch.setattr("tweed_shim.host.kernel.has_one_thread", lambda: True)
    monkeypatch.setattr("tweed_shim.runtime.cleanup.sync_tree", record)
    mounts = (
        Mount(str(tmp_path / "other"), "/other", writable=True),
        Mount(str(tmp_path / "kept"), "/kept", writable=True, kept=True),
    )
    assert [run(f"exit {code}", mounts=mounts).exit_code for code in (3, 0)] == [3, 0]
    assert (tmp_path / "synced").read_text().split() == ["kept", "other", "kept"]


@contextmanager
def linked(rootfs: str, name: str, target: str) -> Iterator[None]:
    """Replace a directory of the image by a symbolic link for the length of a block."""
    path = os.path.join(rootfs, name)
    os.rename(path, f"{path}-aside")
    os.symlink(target, path)
    try:
        yield
    finally:
        os.unlink(path)
        os.rename(f"{path}-aside", path)


def test_a_read_only_root_has_its_mounts_where_links_of_the_image_lead_to(
    run: Run, rootfs: str, no_overlay: None
) -> None:
    target = os.path.join(rootfs, "var/etc")
    os.mkdir(target)
    with linked(rootfs, "etc", "/var/etc"):
        outcome = run(
            "cat /var/etc/resolv.conf | wc -c; test -s /etc/resolv.conf && test -d /tweed/home && echo yes",
            stdout="result",
            mounts=(Mount("/etc/passwd", "/etc/resolv.conf"),),
        )
    assert outcome.result.split() == [b"%d" % os.stat("/etc/passwd").st_size, b"yes"]
    # It is still empty.
    os.rmdir(target)


@pytest.mark.parametrize("overlay", [True, False])
def test_the_sandbox_refuses_an_image_whose_links_lead_outside(
    rootfs: str, root: str, request: pytest.FixtureRequest, tmp_path: os.PathLike[str], overlay: bool
) -> None:
    if not overlay:
        request.getfixturevalue("no_overlay")
    victim = os.fspath(tmp_path)
    with linked(rootfs, "dev", victim), pytest.raises(ImageError, match="its '/dev' is a symbolic link"):
        container.run(script_request(rootfs, "true"), run_context(root))
    assert os.listdir(victim) == []


def test_no_descriptor_stays_open_after_a_failed_start(rootfs: str, root: str) -> None:
    request = program_request(rootfs, ("/bin/nothing",), host.inspect(), stdin=b"x" * MEGABYTES)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ImageError):
        container.run(request, run_context(root))
    assert os.listdir("/proc/self/fd") == before


def test_a_child_that_holds_the_pipes_ends_with_the_program(run: Run) -> None:
    outcome = run("(trap '' TERM HUP; sleep 1000) & echo started", stdout="result")
    assert (outcome.exit_code, outcome.result) == (0, b"started\n")


def test_every_run_has_a_fresh_writable_root_and_the_image_stays_as_it_is(run: Run, rootfs: str) -> None:
    for _ in range(2):
        outcome = run("ls /made 2>/dev/null; mkdir /made && echo ok", stdout="result")
        assert outcome.result == b"ok\n"
    assert not os.path.exists(os.path.join(rootfs, "made"))


def test_a_scratch_directory_holds_the_layer_and_is_empty_afterwards(
    run: Run, tmp_path: os.PathLike[str]
) -> None:
    scratch = os.fspath(tmp_path)
    outcome = run("mkdir /made && mount | head -1", scratch=scratch, stdout="result")
    assert scratch.encode() in outcome.result
    assert os.listdir(scratch) == []


def test_the_option_read_only_leaves_tmp_and_home_writable(run: Run) -> None:
    outcome = run(
        "touch /x 2>/dev/null || echo no; touch /tmp/x /tweed/home/x && echo yes",
        stdout="result",
        read_only=True,
    )
    assert outcome.result == b"no\nyes\n"


def test_a_process_with_several_threads_can_run_containers(run: Run) -> None:
    with another_thread():
        outcome = run("cat", stdin=b"hello", stdout="result")
    assert (outcome.exit_code, outcome.result) == (0, b"hello")


def test_several_threads_can_run_containers_at_the_same_time(run: Run) -> None:
    results: dict[int, bytes] = {}

    def work(number: int) -> None:
        results[number] = run(f"echo {number}", stdout="result").result

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: b"%d\n" % number for number in range(6)}


def test_the_environment_has_nothing_of_the_shims_own(run: Run) -> None:
    os.environ["TWEED_TEST_SECRET"] = "must not be seen"
    try:
        outcome = run("exec env", stdout="result")
    finally:
        del os.environ["TWEED_TEST_SECRET"]
    assert b"TWEED_TEST_SECRET" not in outcome.result
    assert b"PATH=/bin\n" in outcome.result


def test_a_program_that_does_not_exist_is_named(rootfs: str, root: str) -> None:
    request = program_request(rootfs, ("/bin/nothing",), host.inspect())
    with pytest.raises(ImageError, match="could not start '/bin/nothing'"):
        container.run(request, run_context(root))


def test_limits_are_enforced_by_control_groups(run: Run) -> None:
    outcome = run(
        "i=0; while [ $i -lt 50 ]; do sleep 5 & i=$((i+1)); done 2>/dev/null; echo reached",
        limits=Limits(pids=10),
    )
    assert outcome.exit_code != 0
    outcome = run(
        "head -c 200000000 /dev/zero | wc -c; x=$(head -c 100000000 /dev/zero | tr '\\0' x)",
        limits=Limits(memory=32 << 20),
    )
    assert outcome.oom


def driver(rootfs: str, root: str, script: str) -> subprocess.Popen[bytes]:
    """Return a process that runs a script in a container and writes what the script writes to stdout."""
    code = (
        "import sys\n"
        "from tests.runtime.test_container import run_context, script_request\n"
        "from tweed_shim.runtime import container\n"
        "console = container.Console(stdout=1)\n"
        "container.run(script_request(*sys.argv[1:3]), run_context(sys.argv[3], console))\n"
    )
    project = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.pathsep.join((project, os.path.join(project, "shim"), os.path.join(project, "tests")))
    return subprocess.Popen(
        [sys.executable, "-c", code, rootfs, script, root],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_kill_9_of_the_shim_ends_the_container_and_leaves_no_mount(rootfs: str, root: str) -> None:
    with driver(rootfs, root, "echo started; sleep 1000") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        inside = [pid for pid in pids() if works_in(pid, root)]
        assert inside
        ends = [os.pidfd_open(pid) for pid in inside]
        process.kill()
    import select

    for end in ends:
        assert select.select([end], [], [], 10)[0], "a process outlived the shim"
        os.close(end)
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        assert root not in file.read()
    assert os.listdir(os.path.join(root, "scratch")) == []
    for path in cgroups.with_prefix(f"{cgroups.PREFIX}test-"):
        os.rmdir(path)


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def works_in(pid: int, root: str) -> bool:
    try:
        with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
            return root in file.read()
    except OSError:
        return False
