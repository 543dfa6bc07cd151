"""`logs RUN` prints the output of the image, and why the run failed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from accounts import AS_ONE_USER
from installed import PROJECT, SYSTEM_PATH, Shim
from script_images import ScriptImage


def newest(shim: Shim) -> str:
    return str(json.loads(shim.run("logs", "--json").out)[0]["run"])


@AS_ONE_USER
def test_a_run_that_could_not_be_started_says_why(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image("exit 3")
    assert shim.run("exec", image, "metadata").code == 3
    assert shim.run("exec", image, "metadata", "--runtime", "/bin/false").code == 125
    done = shim.run("logs", newest(shim))
    assert (done.code, done.out) == (0, b"")
    assert done.err.decode().startswith(f"tweed-shim: run {newest(shim)} failed: ")


@AS_ONE_USER
def test_the_log_of_a_failed_run_is_printed(shim: Shim, script_image: ScriptImage) -> None:
    assert shim.run("exec", script_image("echo no luck >&2; exit 3"), "metadata").code == 3
    assert shim.run("logs", newest(shim)) == (0, b"no luck\n", b"")


@AS_ONE_USER
def test_a_run_whose_result_broke_the_contract_is_no_success_in_the_table(
    shim: Shim, script_image: ScriptImage
) -> None:
    assert shim.run("exec", script_image("echo no metadata"), "metadata").code == 125
    [_, row] = shim.run("logs").out.decode().splitlines()
    assert "result refused" in row


@AS_ONE_USER
def test_a_run_without_output_is_reported(shim: Shim, script_image: ScriptImage) -> None:
    assert shim.run("exec", script_image("exit 3"), "metadata").code == 3
    done = shim.run("logs", newest(shim))
    assert (done.code, done.out) == (0, b"")
    assert "wrote nothing to its log" in done.err.decode().splitlines()[-1]


def test_a_working_directory_that_is_gone_is_named(tmp_path: Path) -> None:

    place = tmp_path / "place"
    place.mkdir()
    command = f'rmdir "{place}"; exec "{sys.executable}" -m tweed_shim --root store logs'
    environ = {"PATH": SYSTEM_PATH, "HOME": str(tmp_path), "PYTHONPATH": f"{PROJECT}/shim"}
    done = subprocess.run(["sh", "-c", command], cwd=place, env=environ, capture_output=True)
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr == b"tweed-shim: the working directory no longer exists; change to another one\n"


@AS_ONE_USER
def test_the_table_has_the_end_of_a_long_name_and_json_has_all_of_it(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script_image("exit 3")
    path = image.removeprefix("oci:")
    deep = os.path.join(path + "-deep", "a" * 60, "b" * 60)
    shutil.copytree(path, deep)
    assert shim.run("exec", f"oci:{deep}", "metadata").code == 3
    assert shim.run("exec", image, "metadata").code == 3
    assert [each["image"] for each in json.loads(shim.run("logs", "--json").out)] == [image, f"oci:{deep}"]
    heading, *lines = shim.run("logs").out.decode().splitlines()
    assert lines[1].split()[2] == f"...{deep[-45:]}"
    # All columns begin where their headings do.
    assert {line.index("metadata") for line in lines} == {heading.index("OPERATION")}
    assert max(map(len, lines)) < 140
