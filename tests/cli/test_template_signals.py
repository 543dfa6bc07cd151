"""Templates within one long call of C code: signals and time limits end them, and nothing is left."""

import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import bcrypt
import pytest

from accounts import Account
from components import component, make_archive
from installed import Shim, fresh_shim, processes, survivors
from toi_packages import package

PATIENCE = 60
# The promise is two seconds; a busy machine is given more.
ENDING_SECONDS = 10
ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
APP = "example.com/app:1.0.0"


@pytest.fixture
def root(accounts: dict[str, Account], program: str) -> Iterator[Shim]:
    with fresh_shim(accounts["root"], program) as shim:
        yield shim


class LongCall(NamedTuple):
    """Expressions that say that they have begun, and then hash for weeks; `began` can be read then."""

    values: dict[str, str]
    began: int
    environment: dict[str, str]
    temporary: Path

    def wait(self) -> None:
        assert select.select([self.began], [], [], PATIENCE)[0]


@pytest.fixture
def long_call(tmp_path: Path) -> Iterator[LongCall]:
    fifo, temporary, packages = (tmp_path / name for name in ("began", "temporary", "packages"))
    os.mkfifo(fifo)
    temporary.mkdir()
    packages.mkdir()
    # The installed program has no extras.
    (packages / "bcrypt").symlink_to(os.path.dirname(bcrypt.__file__))
    began = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    values = {
        "file": '(( tempfile("secret") ))',
        "begun": f'(( exec("sh", "-c", "echo yes > {fifo}; echo text", file) ))',
        "hash": "(( bcrypt(begun, 31) ))",
    }
    environment = {"PYTHONPATH": str(packages), "TMPDIR": str(temporary)}
    yield LongCall(values, began, environment, temporary)
    os.close(began)


def written(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content))
    return str(path)


def ended_by(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Assert that a signal ends a command in time, with the exit code and the silence that belong to it."""
    process.send_signal(number)
    out, err = process.communicate(timeout=ENDING_SECONDS)
    assert (process.returncode, out, err) == (128 + number, b"", b"")


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_a_merge_within_one_long_call(
    root: Shim, long_call: LongCall, tmp_path: Path, number: signal.Signals
) -> None:
    template = written(tmp_path / "template", long_call.values)
    with root.start("spiff", "merge", template, env=long_call.environment) as process:
        long_call.wait()
        assert list(long_call.temporary.iterdir()) != []
        ended_by(process, number)
    assert list(long_call.temporary.iterdir()) == []


def test_a_terminal_that_interrupts_all_processes_ends_a_merge(
    root: Shim, long_call: LongCall, tmp_path: Path
) -> None:
    template = written(tmp_path / "template", long_call.values)
    with root.start("spiff", "merge", template, env=long_call.environment) as process:
        long_call.wait()
        os.killpg(process.pid, signal.SIGINT)
        ended_by(process, signal.SIGINT)
    assert list(long_call.temporary.iterdir()) == []


def test_a_merge_whose_parent_is_killed_goes_on_nowhere(
    root: Shim, long_call: LongCall, tmp_path: Path
) -> None:
    template = written(tmp_path / "template", long_call.values)
    with root.start("spiff", "merge", template, env=long_call.environment) as process:
        long_call.wait()
        working = processes(root.root, root.account)
        assert len(working) > 1
        process.kill()
        process.communicate(timeout=PATIENCE)
    assert survivors(working) == []


def test_a_signal_ends_the_command_that_a_template_runs(root: Shim, tmp_path: Path) -> None:
    fifo = tmp_path / "began"
    os.mkfifo(fifo)
    began = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    run = f'(( exec("sh", "-c", "echo $$ > {fifo}; exec sleep 1000") ))'
    try:
        with root.start("spiff", "merge", written(tmp_path / "template", {"a": run})) as process:
            assert select.select([began], [], [], PATIENCE)[0]
            command = int(os.read(began, 100))
            ended_by(process, signal.SIGTERM)
    finally:
        os.close(began)
    assert survivors([command]) == []


def bootstrap_arguments(directory: Path, where: str, values: dict[str, str]) -> list[str]:
    """The command line of an action one of whose templates holds these values."""
    mapping = values if where == "parameter mapping" else {"a": "(( merge || 1 ))"}
    about: dict[str, Any] = {
        "executors": [{"image": {"ref": "localhost:1/nothing"}, "parameterMapping": mapping}],
        "credentials": {"target": {"description": "where to", "optional": True}},
    }
    if where == "template":
        about["configTemplate"] = values
    app = component("example.com/app", "1.0.0", [package(about)])
    archive = make_archive(os.path.join(directory, "archive"), app)
    arguments = ["toi", "bootstrap", "install", f"{archive}//{APP}", "--trust-templates"]
    for name, option in (("parameters", "-p"), ("credentials", "-c")):
        content = values if where == name else {}
        arguments += [option, written(directory / name, content)]
    configuration = values if where == "OCM configuration" else {}
    return [*arguments, "--ocmconfig", written(directory / "ocmconfig", {"type": "x/v1", **configuration})]


PLACES = ["template", "parameter mapping", "parameters", "credentials", "OCM configuration"]


@pytest.mark.parametrize("where", PLACES)
def test_a_signal_ends_every_template_of_a_bootstrap(
    root: Shim, long_call: LongCall, tmp_path: Path, where: str
) -> None:
    arguments = bootstrap_arguments(tmp_path, where, long_call.values)
    with root.start(*arguments, "-q", env=long_call.environment) as process:
        long_call.wait()
        ended_by(process, signal.SIGTERM)
    assert list(long_call.temporary.iterdir()) == []
    assert not os.path.exists(os.path.join(root.root, "runs"))


@pytest.mark.parametrize("where", PLACES)
def test_the_time_limit_of_a_bootstrap_is_one_of_its_templates(
    root: Shim, long_call: LongCall, tmp_path: Path, where: str
) -> None:
    arguments = bootstrap_arguments(tmp_path, where, long_call.values)
    code, out, err = root.run(*arguments, "-q", "--timeout", "1", env=long_call.environment)
    assert (code, out) == (124, b""), err
    assert f"the {where}" in err.decode()
    assert b" took longer than 1 second and was ended; raise the timeout, or simplify it\n" in err
    assert list(long_call.temporary.iterdir()) == []


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_what_reads_a_configuration_that_is_a_template(
    root: Shim, long_call: LongCall, tmp_path: Path, number: signal.Signals
) -> None:
    configuration = written(tmp_path / "ocmconfig", long_call.values)
    words = ("ocm", "get", f"{tmp_path}/none//{APP}", "--ocmconfig", configuration)
    with root.start(*words, env=long_call.environment) as process:
        long_call.wait()
        ended_by(process, number)
