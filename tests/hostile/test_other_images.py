"""An image gets nothing of another image's cloud, and runs nothing in the operator's shell."""

import os
import subprocess

from installed import Shim
from script_images import METADATA, ScriptImage

SECRET = "swordfish-and-more"
CONFIGURATION = f'{{"password": "{SECRET}"}}'.encode()
OWNER = f"""
case $1 in
    metadata) {METADATA} ;;
    configure) cat > "$OUT_CONFIG/config" ;;
    setup) cp "$IN_CONFIG/config" "$OUT_CONFIG/config"; echo "A: b" ;;
esac
"""
# Says all that it is given, and asks for more than it should have.
THIEF = f"""
[ $1 = metadata ] || cat /tweed/in/* 2> /dev/null
case $1 in
    metadata) {METADATA} ;;
    setup) echo 'OPTIND: a[$(echo taken > taken)]' ;;
esac
exit 0
"""


def test_an_image_gets_nothing_of_the_cloud_of_another(
    confined_shim: Shim, script_image: ScriptImage
) -> None:
    shim, owner, thief = confined_shim, script_image(OWNER), script_image(THIEF)
    assert shim.run("exec", owner, "configure", stdin=CONFIGURATION).code == 0
    assert shim.run("exec", owner, "setup").code == 0
    for operation in ("check", "setup", "configure", "teardown"):
        done = shim.run("exec", thief, operation, stdin=b"{}" if operation == "configure" else None)
        assert done.code == 125, operation
        assert SECRET.encode() not in done.out + done.err
        assert f"by {owner}, not by {thief}".encode() in done.err
    assert thief.encode() not in shim.run("logs", "--json").out, "it was not run"


def test_an_image_runs_nothing_in_the_shell_that_evaluates_its_environment(
    confined_shim: Shim, script_image: ScriptImage
) -> None:
    shim, thief = confined_shim, script_image(THIEF)
    assert shim.run("exec", thief, "configure", stdin=b"{}").code == 0
    done = shim.run("exec", thief, "setup", "--format", "shell")
    assert (done.code, done.out) == (125, b"")
    # What it would have been.
    directory = os.path.dirname(shim.root)
    allowed = shim.run("exec", thief, "setup", "--replace", "--format", "shell", "--allow", "OPTIND")
    for text, taken in ((done.out, False), (allowed.out, True)):
        subprocess.run(
            ["bash", "-c", 'eval "$1"', "bash", text], cwd=directory, capture_output=True, check=False
        )
        assert os.path.exists(os.path.join(directory, "taken")) == taken
