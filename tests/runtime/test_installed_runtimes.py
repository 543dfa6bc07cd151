"""Every installed OCI runtime has to work: Debian's runc, and others.

$TWEED_SHIM_TEST_RUNTIMES names more of them, as paths with a colon between.
"""

import json
import os
import shutil
import signal
from typing import NamedTuple

import pytest
import yaml

from installed import Shim
from script_images import METADATA, ScriptImage
from tweed_shim.runtime import host

PATIENCE = 60

NAMES = ("runc", "crun")


def runtimes() -> list[str]:
    named = filter(None, os.environ.get("TWEED_SHIM_TEST_RUNTIMES", "").split(":"))
    return [*named, *filter(None, (shutil.which(name) for name in NAMES))]


SCRIPT = f"""
case $1 in
metadata) {METADATA} ;;
configure)
    cat > $OUT_CONFIG/config
    if grep -q hungry $OUT_CONFIG/config; then yes | head -c 100000000 | sort > /dev/null || exit 9; fi
    id -u; hostname; echo on stderr >&2
    touch /made $HOME/made /tmp/made && echo written
    grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status ;;
check) cat $IN_CONFIG/config; touch $IN_CONFIG/x 2>/dev/null || echo read-only ;;
setup) cp $IN_CONFIG/config $OUT_CONFIG/; echo "A: 1"; ls /sys/class/net >&2 ;;
teardown) trap 'echo asked; exit 0' TERM; echo begun; while :; do sleep 1000 & wait $!; done ;;
esac
"""


# What a runtime says of a host that it does not suit.
UNSUITED = (
    b"cgroups in hybrid mode not supported",  # crun, where version 2 has controllers beside version 1
    b"setrlimit (RLIM_MEMLOCK)",  # crun, where root lacks CAP_SYS_RESOURCE
)


class Runner(NamedTuple):
    """Runs the operations of one image with one runtime."""

    shim: Shim
    runtime: str
    image: str

    def command(self, *arguments: str) -> tuple[str, ...]:
        return ("--runtime", self.runtime, "exec", self.image, *arguments)

    def run(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        done = self.shim.run(*self.command(*arguments), stdin=stdin)
        assert done.code == 0, done
        return done.out


@pytest.fixture(params=runtimes(), ids=lambda path: path.strip("/").replace("/", "-"))
def runner(request: pytest.FixtureRequest, shim: Shim, script_image: ScriptImage) -> Runner:
    """Return each runtime, as each account, with an image that is ready."""
    runner = Runner(shim, request.param, script_image(SCRIPT))
    done = shim.run(*runner.command("metadata"))
    if reason := next((words for words in UNSUITED if words in done.err), None):
        pytest.skip(f"{runner.runtime} does not suit this host: {reason.decode()}")
    assert done.code == 0, done
    runner.run("configure", stdin=b'{"a": 1}')
    return runner


def test_all_operations_run_the_same_with_every_runtime(runner: Runner) -> None:
    said = runner.run("configure", stdin=b'{"a": 1}').decode().splitlines()
    assert said[:4] == ["0", "tweed", "on stderr", "written"]
    assert {line.split()[0]: line.split()[1] for line in said[4:]} == {"NoNewPrivs:": "1", "Seccomp:": "2"}
    assert runner.run("check").splitlines()[-1] == b"read-only"
    assert yaml.safe_load(runner.run("setup", "--network", "none")) == {"A": "1"}
    newest = json.loads(runner.shim.run("logs", "--json").out)[0]
    assert runner.shim.run("logs", str(newest["run"])).out == b"lo\n"


def test_a_signal_reaches_the_image_with_every_runtime(runner: Runner) -> None:
    runner.run("setup")
    with runner.shim.start(*runner.command("teardown")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (128 + signal.SIGTERM, b"asked\n")


def test_killing_the_shim_leaves_nothing_with_any_runtime(runner: Runner) -> None:
    runner.run("setup")
    with runner.shim.start(*runner.command("teardown")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.kill()
    # The next run sweeps control groups; that nothing else is left, the fixture sees to.
    runner.run("check")


def test_a_memory_limit_holds_with_every_runtime_or_is_refused(runner: Runner) -> None:
    done = runner.shim.run(*runner.command("configure", "--memory", "16m"), stdin=b'{"hungry": 1}')
    as_root = runner.shim.account.kind == "root" and "memory" in host.inspect().cgroups.controllers
    expected = (b"its memory limit was reached", *(() if as_root else (b"--memory cannot be enforced",)))
    assert any(words in done.err for words in expected), done


# Detaches as crun does: by a helper that starts the container, and that may end later than the runtime itself. Here
# it ends later than the container too, which is then not yet a child of who started the runtime.
LATE = """#!/usr/bin/python3
import ctypes, os, select, subprocess, sys
told, tell = os.pipe()
if os.fork() == 0:
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    code = subprocess.call(["runc", *sys.argv[1:]])
    with open(sys.argv[sys.argv.index("--pid-file") + 1]) as file:
        end = os.pidfd_open(int(file.read()))
    os.write(tell, bytes([code]))
    for fd in (0, 1, 2):
        os.close(fd)
    select.select([end], [], [])
    os._exit(0)
os.close(tell)
os._exit(os.read(told, 1)[0])
"""


def test_a_container_whose_starter_ends_last_is_reaped(
    shim: Shim, script_image: ScriptImage, public_directory: str
) -> None:
    late = os.path.join(public_directory, f"late-{shim.account.kind}")
    with open(late, "w", encoding="ascii") as file:
        file.write(LATE)
    os.chmod(late, 0o755)
    runner = Runner(shim, late, script_image(SCRIPT))
    for _ in range(3):
        runner.run("metadata")
        runner.run("configure", stdin=b'{"a": 1}')
