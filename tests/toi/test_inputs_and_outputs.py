"""The inputs and outputs of an executor: in memory, within limits, and not lost where something else fails."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from accounts import Account, open_to_all
from components import component, make_archive
from installed import Shim, fresh_shim
from toi_packages import executor_layout, package, with_executor
from tweed_shim import Shim as Api
from tweed_shim.runtime.console import Console

SECRET = "swordfish-and-more"
APP = "example.com/app:1.0.0"
SCRIPT = r"""
cd /toi/outputs || exit 1
echo fine > note
case $2 in
wait) echo waiting; sleep 1000 ;;
mounts)
    awk '$5 ~ "^/toi/" {for (i = 7; $i != "-"; i++); print "- " $5, $(i + 1)}' /proc/self/mountinfo > mounts
    { echo more >> /toi/inputs/ocmrepo; } 2> /dev/null && echo "- written" >> mounts
    exit 0 ;;
too-much | too-much-and-fail) head -c 70000000 /dev/zero > large ;;
fail) yes | tr -d '\n' | head -c 150000 > note; exit 7 ;;
no-text) echo 1 > "$(printf 'b\377')" ;;
kinds)
    ln -s note link
    ln -s /etc/passwd "$(printf 'c\377')"
    mkdir directory
    echo deep > directory/file
    mkfifo pipe
    ln -s note mounts
    ln note same
    ;;
many) for number in $(seq 1 100); do ln -s note "link-$number"; done ;;
esac
[ "$2" = too-much-and-fail ] && exit 7
exit 0
"""


@pytest.fixture(scope="module")
def source(public_directory: str) -> str:
    """A package whose executor is given a secret, in an archive."""
    directory = os.path.join(public_directory, "inputs-and-outputs")
    layout = executor_layout(os.path.join(directory, "image"), SCRIPT, user="65534")
    names = ("note", "mounts", "large")
    content = {
        "executors": [
            {"resourceRef": {"resource": {"name": "image"}}, "outputs": {name: name for name in names}}
        ],
        "credentials": {"target": {"description": "where to", "properties": {"token": "a word"}}},
    }
    app = with_executor(component("example.com/app", "1.0.0", [package(content)]), layout)
    archive = make_archive(os.path.join(directory, "archive"), app)
    credentials = Path(directory, "credentials")
    credentials.write_text(f"credentials: {{target: {{credentials: {{token: {SECRET}}}}}}}\n")
    open_to_all(directory)
    return archive


@pytest.fixture
def root_shim(accounts: dict[str, Account], program: str) -> Iterator[Shim]:
    with fresh_shim(accounts["root"], program) as fresh:
        yield fresh


def words(source: str, action: str, *more: str) -> list[str]:
    credentials = os.path.join(os.path.dirname(source), "credentials")
    start = ["toi", "bootstrap", "--ocmconfig", "None", "-c", credentials]
    return [*start, action, f"{source}//{APP}", *more]


def test_the_inputs_and_outputs_are_in_memory_and_the_inputs_stay_as_they_are(
    shim: Shim, source: str
) -> None:
    done = shim.run(*words(source, "mounts"))
    assert done.code == 0, done
    mounts = yaml.safe_load(done.out)["outputs"]["mounts"]
    # The repository is on disk: it may be large, and is no secret.
    in_memory = [line for line in mounts if not line.startswith("/toi/inputs/ocmrepo ")]
    assert (len(mounts), sorted(in_memory)) == (3, ["/toi/inputs tmpfs", "/toi/outputs tmpfs"])


def test_a_killed_run_leaves_no_credentials(root_shim: Shim, source: str) -> None:
    with root_shim.start(*words(source, "wait")) as process:
        assert process.stderr is not None
        while b"waiting" not in process.stderr.readline():
            assert process.poll() is None
        process.kill()
    left = [os.path.join(path, name) for path, _, names in os.walk(root_shim.root) for name in names]
    assert any(path.endswith("/ocmrepo") for path in left)
    for path in left:
        if os.path.isfile(path):
            assert SECRET.encode() not in Path(path).read_bytes(), path
    assert root_shim.run("gc").code == 0


@pytest.mark.parametrize(("action", "code"), [("too-much", 125), ("too-much-and-fail", 7)])
def test_an_output_that_is_too_large_changes_neither_the_others_nor_the_exit_code(
    root_shim: Shim, source: str, action: str, code: int
) -> None:
    done = root_shim.run(*words(source, action))
    assert done.code == code
    assert yaml.safe_load(done.out) == {"outputs": {"note": "fine"}}
    assert "large is not kept (outputs have 64 MiB together at most)" in done.err.decode()


def test_an_output_with_a_name_that_is_not_utf8_is_reported_and_the_others_are_kept(
    root_shim: Shim, source: str
) -> None:
    done = root_shim.run(*words(source, "no-text", "--all-outputs"))
    assert done.code == 125
    assert yaml.safe_load(done.out) == {"outputs": {"note": "fine"}}
    assert "was carried out, but of its outputs the file b'b\\xff' is not kept" in done.err.decode()


def test_outputs_that_are_no_plain_files_are_left_out_with_a_warning(shim: Shim, source: str) -> None:
    done = shim.run(*words(source, "kinds", "--all-outputs"))
    assert (done.code, yaml.safe_load(done.out)) == (0, {"outputs": {"note": "fine", "same": "fine"}})
    [line] = [line for line in done.err.decode().splitlines() if "left out" in line]
    kinds = "directory (a directory), link (a symbolic link), pipe (a named pipe)"
    assert line == (
        "tweed-shim: left out of the executor's outputs: mounts (a symbolic link), b'c\\xff' (a symbolic link), "
        f"{kinds}; only plain files are kept; its author has to write files"
    )
    assert "did not write mounts" not in done.err.decode(), "the executor did write it, though not as a file"


def test_a_mapped_output_that_is_no_plain_file_is_warned_of_without_all_outputs(
    root_shim: Shim, source: str
) -> None:
    done = root_shim.run(*words(source, "kinds"))
    assert (done.code, yaml.safe_load(done.out)) == (0, {"outputs": {"note": "fine"}})
    assert "left out of the executor's outputs: mounts (a symbolic link); only plain" in done.err.decode()


def test_the_python_api_warns_of_outputs_that_are_left_out(root_shim: Shim, source: str) -> None:
    warnings: list[str] = []
    outputs = Api(root_shim.root, console=Console(warn=warnings.append)).bootstrap(
        "kinds",
        f"{source}//{APP}",
        credentials={"credentials": {"target": {"credentials": {"token": SECRET}}}},
        every_output=True,
        ocm_config="None",
    )
    assert sorted(outputs) == ["note", "same"]
    [sentence] = [sentence for sentence in warnings if "left out" in sentence]
    assert "pipe (a named pipe)" in sentence


def test_of_many_outputs_that_are_left_out_twenty_are_named(root_shim: Shim, source: str) -> None:
    done = root_shim.run(*words(source, "many", "--all-outputs"))
    assert (done.code, yaml.safe_load(done.out)) == (0, {"outputs": {"note": "fine"}})
    [line] = [line for line in done.err.decode().splitlines() if "left out" in line]
    assert line.count("(a symbolic link)") == 20
    assert "(and 79 more like it)" in line


def test_an_unwritable_target_of_outputs_is_refused_before_the_run(root_shim: Shim, source: str) -> None:
    done = root_shim.run(*words(source, "note", "-o", "/not/there/outputs.yaml"))
    assert done.code == 125
    assert "/not/there is no directory" in done.err.decode()
    assert json.loads(root_shim.run("logs", "--json").out) == []


def test_outputs_that_cannot_be_written_are_printed(root_shim: Shim, source: str) -> None:
    directory = os.path.join(os.path.dirname(root_shim.root), "outputs")
    os.makedirs(os.path.join(directory, "note"))
    done = root_shim.run(*words(source, "note", "-o", directory))
    assert done.code == 125
    assert "the outputs cannot be written to" in done.err.decode()
    assert yaml.safe_load(done.out) == {"outputs": {"note": "fine"}}


def test_a_failed_action_is_reported_where_its_outputs_cannot_be_written(
    root_shim: Shim, source: str
) -> None:
    command = [root_shim.program, "--root", root_shim.root, *words(source, "fail")]
    for redirection in (">/dev/full", "-o /dev/full >/dev/full", "| true"):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f'"$@" {redirection}', "bash", *command],
            env=root_shim.environment(),
            capture_output=True,
            check=False,
        )
        assert (done.returncode, b"fail ended with exit code 7" in done.stderr) == (7, True), redirection
        assert b"outputs are lost" in done.stderr


def test_outputs_go_to_stdout_with_a_dash(root_shim: Shim, source: str) -> None:
    done = root_shim.run(*words(source, "note", "-o", "-"))
    assert (done.code, yaml.safe_load(done.out)) == (0, {"outputs": {"note": "fine"}})
    assert not os.path.exists(os.path.join(os.path.dirname(root_shim.root), "-"))


def test_outputs_are_printed_whole_to_a_slow_reader(root_shim: Shim, source: str) -> None:
    read, write = os.pipe2(os.O_NONBLOCK)
    os.set_blocking(read, True)
    command = [root_shim.program, "--root", root_shim.root, *words(source, "fail")]
    with subprocess.Popen(
        command, stdout=write, stderr=subprocess.PIPE, env=root_shim.environment()
    ) as process:
        os.close(write)
        assert process.stderr is not None
        # The warnings come before the outputs, which are more than a pipe holds.
        while b"did not write mounts" not in process.stderr.readline():
            assert process.poll() is None
        with open(read, "rb") as file:
            assert len(yaml.safe_load(file.read())["outputs"]["note"]) == 150000
    assert process.returncode == 7
