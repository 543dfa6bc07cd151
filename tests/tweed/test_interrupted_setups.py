"""A setup that was ended before its image failed or succeeded: the store names it, and teardown gets what it wrote."""

import json
import os
import signal
import subprocess

import pytest

from installed import Shim, done
from leftovers import descendants
from script_images import METADATA, ScriptImage

SCRIPT = f"""case $1 in
metadata) {METADATA} ;;
configure) cat > /dev/null ;;
setup) echo token > "$OUT_CONFIG/token"; END ;;
teardown) cat "$IN_CONFIG/token" ;;
esac"""
WAIT = "while true; do sleep 0.1; done"


def interactions(shim: Shim) -> list[tuple[str, bool]]:
    clouds = json.loads(done(shim.run("clouds", "--json")).out)
    return [(each["name"], each["interrupted"]) for cloud in clouds for each in cloud["setups"]]


def read_until_begun(process: subprocess.Popen[bytes]) -> None:
    assert process.stderr is not None
    while b"begun" not in process.stderr.readline():
        assert process.poll() is None


def assert_kept(shim: Shim, image: str, said: bytes) -> None:
    assert b"was interrupted while its image ran" in said
    assert interactions(shim) == [("default", True)]
    assert done(shim.run("exec", image, "teardown")).out == b"token\n"
    assert interactions(shim) == []


@pytest.mark.parametrize("victim", ["sandbox", "entrypoint"])
def test_what_an_image_wrote_before_it_was_killed_from_outside_is_kept_for_teardown(
    shim: Shim, script_image: ScriptImage, victim: str
) -> None:
    image = script_image(SCRIPT.replace("END", f"echo begun >&2; {WAIT}"))
    done(shim.run("exec", image, "configure", stdin=b"{}"))
    with shim.start("exec", image, "setup") as process:
        try:
            read_until_begun(process)
            names = descendants(process.pid)
            # The sandbox process is the first that the shim starts.
            pid = min(names) if victim == "sandbox" else next(pid for pid in names if names[pid] == victim)
            os.kill(pid, signal.SIGKILL)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == (125 if victim == "sandbox" else 128 + signal.SIGKILL)
    assert_kept(shim, image, said)


def test_what_an_image_wrote_before_a_second_signal_is_kept_for_teardown(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script_image(SCRIPT.replace("END", f"trap 'echo begun >&2' TERM; echo begun >&2; {WAIT}"))
    done(shim.run("exec", image, "configure", stdin=b"{}"))
    with shim.start("exec", image, "setup") as process:
        try:
            read_until_begun(process)
            process.terminate()
            read_until_begun(process)
            process.terminate()
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM
    assert_kept(shim, image, said)


@pytest.mark.parametrize(("end", "options", "code"), [("exit 3", (), 3), (WAIT, ("--timeout", "1"), 124)])
def test_of_a_setup_that_ends_by_itself_without_success_nothing_is_kept(
    shim: Shim, script_image: ScriptImage, end: str, options: tuple[str, ...], code: int
) -> None:
    image = script_image(SCRIPT.replace("END", f"trap 'exit 4' TERM; {end}"))
    done(shim.run("exec", image, "configure", stdin=b"{}"))
    result = shim.run("exec", image, "setup", *options)
    assert result.code == code
    assert b"interrupted" not in result.err
    assert interactions(shim) == []
