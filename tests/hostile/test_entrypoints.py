"""Hostile entrypoints: whatever they do, the run ends, and nothing of it is left.

That no process, no mount and no control group is left is what the fixture `shim` checks at its end.
"""

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from accounts import AS_ONE_USER
from host_programs import PYTHON, ProgramsImage
from installed import Result, Shim
from script_images import METADATA, ScriptImage

LOG_SIZE = 64 << 20
FORKING = """
import os, time
count = 0
while True:
    try:
        if os.fork() == 0:
            while True:
                time.sleep(1000)
        count += 1
    except OSError as error:
        print(count, error.errno, flush=True)
        time.sleep(1000)
"""

Configure = Callable[..., Result]


def script(image: ScriptImage, text: str) -> str:
    """Return an image whose `configure` is a text of shell."""
    return image(f'if [ "$1" = metadata ]; then {METADATA}; exit; fi\n{text}')


@pytest.fixture
def configure(shim: Shim) -> Configure:
    def run(image: str, *options: str, timeout: float = 60) -> Result:
        return shim.run(
            "exec", image, "configure", "--network", "none", *options, stdin=b"{}", timeout=timeout
        )

    return run


def test_a_fork_bomb_is_bounded_and_ends(shim: Shim, programs_image: ProgramsImage) -> None:
    metadata = "backend: tweed/v1\\nname: n\\nversion: v"
    head = f"#!{PYTHON} -I\nimport sys\nif sys.argv[1] == 'metadata':\n    sys.exit(print('{metadata}'))\n"
    options = ("--pids", "64") if shim.account.kind == "root" else ()
    image = programs_image(head + FORKING)
    assert shim.run("exec", image, "metadata").code == 0
    configuration = os.path.join(os.path.dirname(shim.root), "empty")
    Path(configuration).write_text("{}")
    os.chmod(configuration, 0o644)
    command = ("exec", image, "configure", "--network", "none", "--config", configuration, *options)
    with shim.start(*command) as process:
        assert process.stdout is not None
        made, number = map(int, process.stdout.readline().split())
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert number == errno.EAGAIN
    assert 0 < made < (64 if options else 1024)


def test_allocating_forever_ends_at_the_limit_which_is_named(
    shim: Shim, script_image: ScriptImage, configure: Configure
) -> None:
    image = script(script_image, "x=0123456789; while :; do x=$x$x; done")
    done = configure(image, "--memory", "64m")
    if shim.account.kind == "root":
        assert done.code not in (0, 124, 125), done
        assert b"its memory limit was reached; allow it more with --memory" in done.err
    else:
        assert done.code == 125
        assert b"--memory cannot be enforced" in done.err


@AS_ONE_USER
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_much_output_is_shown_whole_and_logged_in_part(
    shim: Shim, script_image: ScriptImage, configure: Configure, stream: str
) -> None:
    size = 100_000_000
    where = ">&2" if stream == "stderr" else ""
    text = f"(echo first; yes something | head -c {size}; echo last) {where}"
    done = configure(script(script_image, text))
    assert done.code == 0
    assert len(done.out) == size + len("first\nlast\n")
    [number] = [
        run["run"] for run in json.loads(shim.run("logs", "--json").out) if run["operation"] == "configure"
    ]
    log = shim.run("logs", str(number)).out
    assert log.startswith(b"first\n")
    assert log.endswith(b"last\n")
    assert LOG_SIZE - (1 << 20) < len(log) < LOG_SIZE + (1 << 10)


def test_an_endless_result_ends_the_run(shim: Shim, script_image: ScriptImage) -> None:
    done = shim.run("exec", script_image("yes 'a: b'"), "metadata")
    assert done.code == 125
    assert done.out == b""
    assert b"more than 4 MiB" in done.err


def test_endless_diagnostics_end_at_the_timeout(script_image: ScriptImage, configure: Configure) -> None:
    done = configure(script(script_image, "yes"), "--timeout", "1")
    assert done.code == 124


# The program with a grace time of half a second; the arguments are the installed program and its own.
SHORT_GRACE = """
import sys
from tweed_shim.cli.main import main
from tweed_shim.runtime import io_loop
io_loop.GRACE = 0.5
sys.exit(main(sys.argv[2:]))
"""


def test_an_image_that_ignores_signals_is_killed_after_the_grace_time(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script(script_image, "trap 'echo ignored' TERM INT HUP; while :; do sleep 0.1; done")
    python = os.path.join(os.path.dirname(shim.program), "python")
    impatient = shim._replace(wrapper=(python, "-c", SHORT_GRACE))
    done = impatient.run("exec", image, "configure", "--network", "none", "--timeout", "1", stdin=b"{}")
    assert done.code == 124, done
    assert b"ignored" in done.out
    assert b"did not end within 0.5 s of SIGTERM; killed" in done.err


def test_a_stopped_program_is_killed_as_well(script_image: ScriptImage, configure: Configure) -> None:
    done = configure(script(script_image, "sh -c 'kill -STOP $$'"), "--timeout", "1")
    assert done.code == 124


def test_closing_the_streams_ends_nothing_early(
    script_image: ScriptImage, configure: Configure, shim: Shim
) -> None:
    text = 'exec <&- >&- 2>&-; sleep 0.3; echo kept > "$OUT_CONFIG/file"; exit 3'
    done = configure(script(script_image, text))
    assert done.code == 3, done
    assert done.out == b""


@pytest.mark.parametrize(
    "text",
    [
        "setsid sh -c 'setsid sleep 1000 < /dev/null > /dev/null 2>&1 &' &",
        "(trap '' HUP TERM INT; sleep 1000) &",
        "setsid sh -c 'trap \"\" HUP TERM INT; (sleep 1000 &) ; sleep 1000' &",
    ],
    ids=["a daemon", "a child that holds the pipes", "daemons that hold the pipes"],
)
def test_processes_in_the_background_end_with_the_entrypoint(
    script_image: ScriptImage, configure: Configure, text: str
) -> None:
    done = configure(script(script_image, f"{text}\necho done"))
    assert done.code == 0, done
    assert done.out == b"done\n"


def test_filling_the_root_is_bounded(shim: Shim, script_image: ScriptImage, configure: Configure) -> None:
    text = "stat -f -c '%b %S' /"
    if shim.account.kind == "range":  # one is enough to see that the number means what it says
        text += "; head -c 1200000000 /dev/zero > /file 2>/dev/null && exit 9; stat -c '%s 1' /file"
    done = configure(script(script_image, text))
    assert done.code == 0, done
    for line in done.out.splitlines():
        blocks, size = map(int, line.split())
        assert 1_000_000_000 < blocks * size <= 1 << 30


def test_a_program_that_kills_all_processes_kills_only_its_own(shim: Shim, script_image: ScriptImage) -> None:
    text = "kill -9 -1; for pid in $(seq 1 400); do kill -9 $pid 2>/dev/null; done; exit 5"
    done = shim.run("exec", script(script_image, text), "configure", stdin=b"{}")
    assert done.code == 5, done
