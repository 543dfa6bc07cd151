"""The commands of the README and of docs/using.md work as they are written there."""

import os
import re
import shutil
import subprocess

import pytest

from accounts import AS_ONE_USER
from installed import PROJECT, Shim
from script_images import METADATA, ScriptImage

with open(os.path.join(PROJECT, "README.md"), encoding="utf-8") as file:
    README = file.read()
with open(os.path.join(PROJECT, "docs", "using.md"), encoding="utf-8") as file:
    USING = file.read()


def shell(shim: Shim, script: str, directory: str, program: str = "sh") -> "subprocess.CompletedProcess[str]":
    environ = shim.environment()
    environ |= {
        "PATH": f"{os.path.dirname(shim.program)}:{environ['PATH']}",
        "TWEED_SHIM_ROOT": shim.root,
    }
    return subprocess.run(
        [program, "-c", script],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        user=shim.account.uid,
        group=shim.account.gid,
        extra_groups=[],
    )


@AS_ONE_USER
def test_the_first_session_needs_no_registry(shim: Shim) -> None:
    session = README.partition("## A first session")[2].partition("## Where to go next")[0]
    commands = re.findall(r"^    \$ (.*)$", session, re.MULTILINE)
    assert len(commands) == 8
    work = os.path.join(os.path.dirname(shim.root), "clone")
    os.mkdir(work)
    os.chown(work, shim.account.uid, shim.account.gid)
    try:
        for name in ("scripts", "bundles"):
            shutil.copytree(os.path.join(PROJECT, name), os.path.join(work, name))
        done = shell(shim, "\n".join(["set -e", *commands, "cat shop.yaml"]), work)
        assert done.returncode == 0, done
        assert "DEMO_TOKEN:" in done.stdout
    finally:
        shutil.rmtree(work)


@AS_ONE_USER
@pytest.mark.parametrize(("which", "heading"), [("sh", "# sh"), ("bash", "# sh"), ("fish", "# fish")])
def test_an_environment_is_taken_into_a_shell_and_a_failure_ends_the_script(
    shim: Shim, script_image: ScriptImage, which: str, heading: str
) -> None:
    lines = [line.strip() for line in USING.splitlines()]
    [start] = [number for number, line in enumerate(lines) if line.startswith(heading)]
    commands = "\n".join(lines[start + 1 : start + 3])
    setup = 'printf \'HOST: "a b"\\nNOTE: "one\\\\ntwo \'"\'"\'x"\\n\''
    shown = "printf '%s|' $HOST $NOTE" if which == "fish" else 'printf \'%s|\' "$HOST" "$NOTE"'
    for script, expected in (("exit 7", (7, "")), (setup, (0, "a b|one\ntwo 'x|"))):
        image = script_image(f"case $1 in metadata) {METADATA} ;; setup) {script} ;; esac")
        assert shim.run("exec", image, "configure", "--replace", stdin=b"{}").code == 0
        text = f"{commands.replace('IMAGE', image)}\n{shown}"
        done = shell(shim, text, os.path.dirname(shim.root), which)
        assert (done.returncode, done.stdout) == expected, done
