"""`--format github` and `github-output`: variables go to the file of the step, masks to its log."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts import AS_ONE_USER, Account
from github_runner import masked, read_file
from installed import Shim, fresh_shim, refusal
from leftovers import work_directory
from script_images import METADATA, ScriptImage
from small_disks import Disk

CERTIFICATE = "-----BEGIN-----\nMIIB%41\n-----END-----\n"
VALUES = {
    "URL": "redis://:hunter2@h",
    "CERTIFICATE": CERTIFICATE,
    "TLS": "true",
    "QUOTED": 'it\'s # "$HOME" é',
}
IMAGE = f"""case $1 in
metadata) {METADATA} ;;
configure) cat >$OUT_CONFIG/values ;;
setup) cat $IN_CONFIG/values ;;
esac"""
VARIABLES = {"github": "GITHUB_ENV", "github-output": "GITHUB_OUTPUT"}


@pytest.fixture
def step(shim: Shim) -> Iterator[Path]:
    """The file of a step."""
    with work_directory() as path:
        file = Path(path, "step")
        file.write_text("BEFORE=1")
        for each in (Path(path), file):
            each.chmod(0o777)
        yield file


def configured(shim: Shim, script_image: ScriptImage, values: dict[str, str] = VALUES) -> str:
    image = script_image(IMAGE)
    assert shim.run("exec", image, "configure", stdin=json.dumps(values).encode()).code == 0
    return image


def interactions(shim: Shim) -> list[str]:
    found: list[str] = json.loads(shim.run("clouds", "--json").out)[0]["interactions"]
    return found


@AS_ONE_USER
@pytest.mark.parametrize("kind", VARIABLES)
def test_a_setup_appends_to_the_file_of_the_step_and_prints_masks_only(
    shim: Shim, script_image: ScriptImage, step: Path, kind: str
) -> None:
    image = configured(shim, script_image)
    env = {VARIABLES[kind]: str(step)}
    done = shim.run("exec", image, "setup", "--format", kind, env=env)
    assert (done.code, done.err) == (0, b""), done
    # The other program's last line had no end.
    assert read_file(step.read_text()) == {"BEFORE": "1", **VALUES}
    log = done.out.decode()
    assert masked(log) == {VALUES["URL"], VALUES["QUOTED"], "-----BEGIN-----", "MIIB%41", "-----END-----"}
    assert len(masked(log)) == len(log.splitlines())
    again = shim.run("environment", "--format", kind, env=env)
    assert (again.code, again.out, again.err) == (0, done.out, b"")
    assert read_file(step.read_text()) == {"BEFORE": "1", **VALUES}


@AS_ONE_USER
def test_outside_of_a_step_it_is_refused_before_anything_is_run(
    shim: Shim, script_image: ScriptImage, step: Path
) -> None:
    image = configured(shim, script_image)
    setup = ("exec", image, "setup", "--format", "github")
    assert refusal(shim.run(*setup)) == (
        "tweed-shim: --format github appends to the file that $GITHUB_ENV names, and $GITHUB_ENV is not set; "
        "use it in a step of a GitHub workflow, or use another --format"
    )
    for path, why in ((f"{step}-not", "cannot be opened (No such file"), ("/dev/null", "is no file")):
        message = refusal(shim.run(*setup, env={"GITHUB_ENV": path}))
        assert path in message
        assert why in message
    assert not Path(f"{step}-not").exists()
    assert interactions(shim) == []


@AS_ONE_USER
@pytest.mark.parametrize("redirection", [">>$GITHUB_ENV", ">/dev/null", ">$GITHUB_ENV-log"])
def test_a_redirection_that_would_hide_the_masks_is_refused(
    shim: Shim, script_image: ScriptImage, step: Path, redirection: str
) -> None:
    image = configured(shim, script_image)
    command = shim.command("exec", image, "setup", "--format", "github")
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *command],
        env=shim.environment() | {"GITHUB_ENV": str(step)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 125
    assert done.stderr.decode() == (
        "tweed-shim: --format github appends to $GITHUB_ENV itself, and prints lines that have the runner mask the "
        "values; stdout is a file, where the runner does not see them: leave the redirection out\n"
    )
    assert step.read_text() == "BEFORE=1"
    assert interactions(shim) == []


@AS_ONE_USER
def test_what_a_step_cannot_set_is_refused_with_the_interaction_set_up(
    shim: Shim, script_image: ScriptImage, step: Path
) -> None:
    image = configured(shim, script_image, {"PATH": "hunter2"})
    env = {"GITHUB_ENV": str(step)}
    message = refusal(shim.run("exec", image, "setup", "--format", "github", env=env))
    assert "sets PATH (steers shells)" in message
    assert "hunter2" not in message
    assert interactions(shim) == ["default"]
    assert step.read_text() == "BEFORE=1"
    command = message.partition("if you mean it: tweed-shim ")[2].partition(";")[0]
    assert shim.run(*command.split(), env=env).code == 0
    assert read_file(step.read_text()) == {"BEFORE": "1", "PATH": "hunter2"}


def test_a_full_disk_leaves_the_file_as_it_was(
    accounts: dict[str, Account], program: str, script_image: ScriptImage
) -> None:
    with fresh_shim(accounts["root"], program) as shim:
        image = configured(shim, script_image, {"LONG": "x" * 100_000})
        disk = Disk(os.path.join(os.path.dirname(shim.root), "disk"), shim.account)
        try:
            step = Path(disk.place, "step")
            step.write_text("BEFORE=1\n")
            disk.fill(leave=4096)
            env = {"GITHUB_ENV": str(step)}
            done = shim.run("exec", image, "setup", "--format", "github", env=env)
            # The masks were printed before.
            assert (done.code, masked(done.out.decode())) == (125, {"x" * 100_000})
            assert done.err.decode().startswith(
                "tweed-shim: the file that $GITHUB_ENV names cannot be written (No space left on device); "
                "interaction 'default' is set up all the same: "
            )
            assert step.read_text() == "BEFORE=1\n"
        finally:
            disk.unmount()
