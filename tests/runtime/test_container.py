"""A run's streams, ends and traces, at the level of Request and Outcome, as root."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from leftovers import work_directory
from tweed_shim import files
from tweed_shim.errors import HostError, ImageError
from tweed_shim.idmap import IdMap, IdRange
from tweed_shim.records import replace
from tweed_shim.runtime import cgroups, container, host
from tweed_shim.runtime.cgroups import Cgroups
from tweed_shim.runtime.container import Console, Setting
from tweed_shim.runtime.keeper import Keeper
from tweed_shim.runtime.request import RESULT_LIMIT, Limits, Mount, Outcome, Request

MEGABYTES = 10 << 20
NOWHERE = Console()

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="root's runs; the others' are tested through the program"
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
    """Run a shell script in the busybox rootfs; further arguments are those of Request."""

    def call(
        script: str, *, console: Console = NOWHERE, scratch: str | None = None, **request: Any
    ) -> Outcome:
        return container.run(script_request(rootfs, script, **request), setting(root, console, scratch))

    return call


def script_request(rootfs: str, script: str, **request: Any) -> Request:
    return Request(
        rootfs=rootfs,
        args=("/bin/sh", "-c", script),
        env=("PATH=/bin",),
        uid=0,
        gid=0,
        groups=(),
        cwd="/",
        home="/tweed/home",
        **request,
    )


def setting(root: str, console: Console = NOWHERE, scratch: str | None = None) -> Setting:
    return Setting(
        name=files.unique_name("test-"),
        root=root,
        runtime=host.require_program("runc"),
        host=host.inspect(),
        log=os.path.join(root, "log"),
        console=console,
        scratch=scratch,
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


def test_an_image_that_closes_stdin_early_is_not_waited_for(run: Run) -> None:
    outcome = run("exec < /dev/null; echo done", stdin=bytes(MEGABYTES), stdout="result")
    assert (outcome.exit_code, outcome.result) == (0, b"done\n")


def test_what_is_written_just_before_the_exit_is_kept(run: Run) -> None:
    for _ in range(10):
        outcome = run("head -c 60000 /dev/zero; exec kill -9 $$", stdout="result")
        assert len(outcome.result) == 60000


def test_no_stdin_reads_as_empty(run: Run) -> None:
    assert run("wc -c", stdout="result").result == b"0\n"


def test_the_exit_code_of_the_program_is_given(run: Run) -> None:
    assert run("exit 42").exit_code == 42


def test_a_program_that_kills_itself_has_a_signal_and_no_exit_code(run: Run) -> None:
    outcome = run("sh -c 'kill -SEGV $$'; exit $?")
    assert outcome.exit_code == 128 + signal.SIGSEGV


def test_a_result_that_is_too_long_ends_the_run(run: Run) -> None:
    outcome = run("yes", stdout="result")
    assert outcome.overflow
    assert len(outcome.result) == RESULT_LIMIT


def test_time_that_is_up_ends_a_program_without_a_handler_at_once(run: Run) -> None:
    outcome = run("sleep 1000", timeout=0.2)
    assert outcome.timed_out
    assert outcome.seconds["run"] < container_grace()


def container_grace() -> float:
    from tweed_shim.runtime.carrier import GRACE

    return GRACE


def test_time_that_is_up_lets_a_program_clean_up(run: Run) -> None:
    outcome = run("trap 'echo cleaned; exit 0' TERM; sleep 1000 & wait", timeout=0.5, stdout="result")
    assert outcome.timed_out
    assert outcome.result == b"cleaned\n"


def test_a_program_that_ignores_the_wish_is_killed_after_the_grace_period(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tweed_shim.runtime.carrier.GRACE", 0.3)
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
def test_a_runtime_that_hangs_is_given_up(
    rootfs: str, root: str, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    for name in ("GRACE", "LAST_WORDS"):
        monkeypatch.setattr(f"tweed_shim.runtime.carrier.{name}", 0.2)
    where = replace(setting(root), runtime=runtime_that(root, does))
    outcome = container.run(script_request(rootfs, "true", timeout=0.3), where)
    assert outcome.timed_out


def test_a_sandbox_that_is_killed_before_the_start_is_noticed(rootfs: str, root: str) -> None:
    # The runtime sees its parent, process 1 of the sandbox, in a /proc of its own: it cannot kill it, its keeper can.
    where = replace(setting(root), runtime=runtime_that(root, "exec sleep 1000"))

    before = set(children(os.getpid()))

    def kill_keeper() -> None:
        [keeper] = set(children(os.getpid())) - before
        os.kill(keeper, signal.SIGKILL)

    with pytest.raises(HostError, match="ended from outside"):
        container.run(script_request(rootfs, "true"), replace(where, meanwhile=kill_keeper))


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def test_a_reader_that_stopped_reading_does_not_hinder_the_end(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tweed_shim.runtime.carrier.LAST_WORDS", 0.2)
    unread, full = os.pipe()
    outcome = run("yes", timeout=0.3, console=Console(stdout=full))
    assert outcome.timed_out
    os.close(unread)
    os.close(full)


@pytest.fixture
def no_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without overlay file systems."""

    def fail(*_: object, **options: object) -> None:
        raise OSError(19, "No such device")

    # A sandbox of its own program would know nothing of the patch.
    monkeypatch.setattr("tweed_shim.runtime.kernel.has_one_thread", lambda: True)
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


def test_a_layer_that_memory_cannot_hold_is_on_disk_at_once(
    rootfs: str, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's run on Linux before 6.6, whose tmpfs has no user attributes: no second sandbox is made for it."""
    sandboxes: list[IdMap] = []
    set_attribute = os.setxattr

    class CountedKeeper(Keeper):
        def __init__(self, ids: IdMap) -> None:
            sandboxes.append(ids)
            super().__init__(ids)

    def before_6_6(path: Any, *arguments: Any) -> None:
        if isinstance(path, int):
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        set_attribute(path, *arguments)

    monkeypatch.setattr(container, "Keeper", CountedKeeper)
    monkeypatch.setattr(os, "setxattr", before_6_6)
    own = (IdRange(0, 0, 1),)
    user = replace(host.inspect(), ids=IdMap("single", own, own), cgroups=Cgroups(0))
    outcome = container.run(
        script_request(rootfs, "rm -rf /var && mkdir /var && cat /proc/self/mountinfo", stdout="result"),
        replace(setting(root, NOWHERE), host=user),
    )
    assert outcome.exit_code == 0
    assert f"upperdir={os.path.join(root, 'tmp')}".encode() in outcome.result
    assert len(sandboxes) == 1


@contextmanager
def linked(rootfs: str, name: str, target: str) -> Iterator[None]:
    """Have a symbolic link in the place of a directory of the image."""
    path = os.path.join(rootfs, name)
    os.rename(path, f"{path}-aside")
    os.symlink(target, path)
    try:
        yield
    finally:
        os.unlink(path)
        os.rename(f"{path}-aside", path)


def test_a_read_only_root_has_its_mounts_where_links_of_the_image_lead(
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
    # It is empty still.
    os.rmdir(target)


@pytest.mark.parametrize("overlay", [True, False])
def test_the_sandbox_itself_refuses_an_image_whose_links_lead_out(
    rootfs: str, root: str, request: pytest.FixtureRequest, tmp_path: os.PathLike[str], overlay: bool
) -> None:
    if not overlay:
        request.getfixturevalue("no_overlay")
    victim = os.fspath(tmp_path)
    with linked(rootfs, "dev", victim), pytest.raises(ImageError, match="its '/dev' is a symbolic link"):
        container.run(script_request(rootfs, "true"), setting(root))
    assert os.listdir(victim) == []


def test_no_descriptor_stays_open_where_the_start_fails(rootfs: str, root: str) -> None:
    request = replace(script_request(rootfs, "", stdin=b"x" * MEGABYTES), args=("/bin/nothing",))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ImageError):
        container.run(request, setting(root))
    assert os.listdir("/proc/self/fd") == before


def test_a_child_that_holds_the_pipes_ends_with_the_program(run: Run) -> None:
    outcome = run("(trap '' TERM HUP; sleep 1000) & echo started", stdout="result")
    assert (outcome.exit_code, outcome.result) == (0, b"started\n")


def test_every_run_has_a_fresh_writable_root_and_the_image_stays_as_it_is(run: Run, rootfs: str) -> None:
    for _ in range(2):
        outcome = run("ls /made 2>/dev/null; mkdir /made && echo ok", stdout="result")
        assert outcome.result == b"ok\n"
    assert not os.path.exists(os.path.join(rootfs, "made"))


def test_a_scratch_on_disk_serves_as_well_and_is_empty_afterwards(
    run: Run, tmp_path: os.PathLike[str]
) -> None:
    scratch = os.fspath(tmp_path)
    outcome = run("mkdir /made && mount | head -1", scratch=scratch, stdout="result")
    assert scratch.encode() in outcome.result
    assert os.listdir(scratch) == []


def test_a_read_only_root_can_be_asked_for(run: Run) -> None:
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


def test_the_environment_is_what_was_asked_for_and_nothing_of_the_shims(run: Run) -> None:
    os.environ["TWEED_TEST_SECRET"] = "must not be seen"
    try:
        outcome = run("exec env", stdout="result")
    finally:
        del os.environ["TWEED_TEST_SECRET"]
    assert b"TWEED_TEST_SECRET" not in outcome.result
    assert b"PATH=/bin\n" in outcome.result


def test_a_program_that_is_not_there_is_named(rootfs: str, root: str) -> None:
    request = replace(script_request(rootfs, ""), args=("/bin/nothing",))
    with pytest.raises(ImageError, match="could not start '/bin/nothing'"):
        container.run(request, setting(root))


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
    """A process that runs a script in a container and writes what the script writes to stdout."""
    code = (
        "import sys\n"
        "from tests.runtime.test_container import script_request, setting\n"
        "from tweed_shim.runtime import container\n"
        "console = container.Console(stdout=1)\n"
        "container.run(script_request(*sys.argv[1:3]), setting(sys.argv[3], console))\n"
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
    for path in cgroups.named(f"{cgroups.PREFIX}test-"):
        os.rmdir(path)


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def works_in(pid: int, root: str) -> bool:
    try:
        with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
            return root in file.read()
    except OSError:
        return False
