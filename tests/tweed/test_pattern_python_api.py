"""Patterns in the process of a program that embeds the package: a broker, with threads and workers."""

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from installed import PROJECT, SYSTEM_PATH
from leftovers import work_directory
from pattern_images import backend_image, pattern_image
from script_images import ScriptImage
from tweed_shim import Shim
from tweed_shim.errors import (
    ConfigError,
    ContractError,
    ImageError,
    OperationFailed,
    ShimError,
    StateError,
    TimedOut,
)
from tweed_shim.runtime.console import Console
from tweed_shim.tweed.binding import Binding
from tweed_shim.tweed.operation_runner import Options
from tweed_shim.tweed.pattern import Pattern

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the images are made by root's fixtures")

ENVIRONMENT = {"environment": "KUBECONFIG: /tweed/out/keys/kubeconfig"}


@pytest.fixture
def shim() -> Iterator[Shim]:
    with work_directory() as directory:
        yield Shim(os.path.join(directory, "store"))


@pytest.fixture
def pattern(shim: Shim, script_image: ScriptImage) -> Pattern:
    """A pattern in a cloud that is configured."""
    shim.backend(backend_image(script_image, user="1000:1000"), cloud="prod").configure(ENVIRONMENT)
    return shim.pattern(pattern_image(script_image, user="2000:2000"), cloud="prod")


def setups(shim: Shim) -> list[str]:
    return [setup.operation for cloud in shim.clouds() for setup in cloud.setups]


def test_a_whole_life_of_an_instance(shim: Shim, pattern: Pattern) -> None:
    assert pattern.metadata()["pattern"] == "tweed/v1"
    commands = {
        "provision": "echo text > $OUTPUTS/file",
        "bind": "cat $KUBECONFIG >&2; echo 'host: db'; echo 'port: 5432'; echo 'tls: {ca: x}'",
    }
    assert pattern.provision("shop", {"size": 2}, plan={"size": 1, **commands}) is None  # type: ignore[func-returns-value] # the promise
    [state] = pattern.instances()
    assert (state.name, state.state, state.cloud, state.bindings) == ("shop", "ready", "prod", ())
    assert shim.instances() == [state]
    binding = pattern.bind("shop", "web")
    assert dict(binding) == {"host": "db", "port": 5432, "tls": {"ca": "x"}}
    assert (binding["port"], [*binding], len(binding), "host" in binding) == (
        5432,
        ["host", "port", "tls"],
        3,
        True,
    )
    assert (binding.instance, binding.name) == ("shop", "web")
    assert repr(binding) == "Binding('shop', 'web', ['host', 'port', 'tls'])"
    recorded = shim.instance("shop")
    assert recorded.credentials("web") == dict(binding)
    assert [(each.name, each.size) for each in recorded.files()] == [("file", 5)]
    with recorded.open_file("file") as file:
        assert file.read() == b"text\n"
    assert [(each.name, each.state) for each in recorded.state().bindings] == [("web", "ready")]
    with pattern.bind("shop", "second") as second:
        assert second["host"] == "db"
        assert len(recorded.state().bindings) == 2
    assert [each.name for each in recorded.state().bindings] == ["web"]
    with pytest.raises(ZeroDivisionError), pattern.bind("shop", "third"):
        raise ZeroDivisionError
    pattern.unbind("shop", "web")
    assert recorded.state().bindings == ()
    pattern.deprovision("shop")
    assert (shim.instances(), pattern.instances(), setups(shim)) == ([], [], [])
    with pytest.raises(StateError, match="there is no instance 'shop'"):
        recorded.state()


def test_each_fault_is_an_error_of_its_class(shim: Shim, pattern: Pattern) -> None:
    refused: list[tuple[Callable[[], object], type[ShimError], str]] = [
        (lambda: pattern.bind("never"), StateError, "there is no instance 'never'"),
        (lambda: pattern.unbind("never"), StateError, "there is no instance 'never'"),
        (lambda: pattern.deprovision("never"), StateError, "there is no instance 'never'"),
        (lambda: pattern.provision("../up"), ConfigError, "cannot name an instance"),
        (lambda: pattern.bind("x", "a b"), ConfigError, "cannot name a binding"),
        (lambda: pattern.bind(replace="yes"), ConfigError, "replace"),  # type: ignore[arg-type] # the test
        (lambda: pattern.provision("x", [1]), ConfigError, "inputs"),  # type: ignore[arg-type] # the test
        (lambda: pattern.provision("x", {"a": object()}), ConfigError, "inputs"),
        (lambda: pattern.provision("x", plan="text"), ConfigError, "plan"),  # type: ignore[arg-type] # the test
        (lambda: shim.pattern("x", cloud="../up"), ConfigError, "cannot name a cloud"),
        (lambda: shim.pattern("x", keep_backend=1), ConfigError, "keep_backend"),  # type: ignore[arg-type] # the test
        (lambda: shim.instance(""), ConfigError, "cannot name an instance"),
    ]
    for action, kind, words in refused:
        with pytest.raises(kind) as caught:
            action()
        assert words in str(caught.value)
        # Errors of the Python API speak of arguments.
        assert "--" not in str(caught.value).partition("; ")[0]
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert (shim.instances(), setups(shim)) == ([], [])
    pattern.metadata()
    unconfigured = shim.pattern(str(pattern._name), cloud="other")
    with pytest.raises(StateError, match=r"cloud 'other' is not configured; .*or give cloud=None if"):
        unconfigured.provision()


def test_an_image_that_fails_raises_what_happened(shim: Shim, pattern: Pattern) -> None:
    with pytest.raises(OperationFailed) as failed:
        pattern.provision(
            "bad", {"provision": "echo kept > $CREDSTORE/kept; exit 7", "deprovision": "exit 8"}
        )
    assert (failed.value.exit_code, failed.value.run.isdigit()) == (7, True)
    copied = pickle.loads(pickle.dumps(failed.value))
    assert (copied.exit_code, copied.run, str(copied)) == (7, failed.value.run, str(failed.value))
    assert [(each.name, each.state) for each in shim.instances()] == [("bad", "failed")]
    with pytest.raises(StateError, match="only deprovision may follow"):
        pattern.bind("bad")
    with pytest.raises(StateError, match=r"use another instance=, or|instance 'bad' exists already"):
        pattern.provision("bad")
    with pytest.raises(OperationFailed) as failed:
        pattern.deprovision("bad")
    assert failed.value.exit_code == 8
    shim.instance("bad").forget()
    pattern.provision("shop", {"bind": "echo '- a'"})
    with pytest.raises(ContractError, match="printed no credentials"):
        pattern.bind("shop")
    with pytest.raises(StateError, match="has no credentials"):
        shim.instance("shop").credentials()
    slow = shim.pattern(str(pattern._name), cloud="prod", options=Options(timeout=0.5))
    with pytest.raises(TimedOut):
        slow.provision("slow", {"provision": "sleep 1000"})
    assert setups(shim) == []


def test_a_pattern_without_a_backend_and_one_whose_backend_is_kept(shim: Shim, pattern: Pattern) -> None:
    warnings: list[str] = []
    alone = shim.pattern(str(pattern._name), cloud=None)
    alone.provision("alone", {"provision": "test ! -e /tweed/out"})
    assert alone.bind("alone")["password"] == "secret"
    kept = Shim(shim.settings.root, console=Console(warn=warnings.append)).pattern(
        str(pattern._name), cloud="prod", keep_backend=True
    )
    kept.provision("kept")
    assert setups(shim) == ["provision"]
    [warning] = [each for each in warnings if "stays set up; tear it down with: " in each]
    assert "interaction 'kept-provision-" in warning
    assert {each.name: each.cloud for each in pattern.instances()} == {"alone": "", "kept": "prod"}
    with pytest.raises(StateError, match="still has interactions set up"):
        shim.remove_cloud("prod")


def test_an_operation_of_the_other_contract_is_a_contract_error(shim: Shim, pattern: Pattern) -> None:
    pattern.provision()
    backend = shim.backend(str(pattern._name), cloud="prod")
    for action in (backend.check, backend.setup, lambda: backend.configure({})):
        with pytest.raises(ContractError, match="is a pattern image, which has no operation"):
            action()
    [cloud] = shim.clouds()
    wrong = shim.pattern(cloud.image, cloud="prod")
    operations: list[Callable[[], object]] = [
        lambda: wrong.provision("new"),
        wrong.bind,
        wrong.unbind,
        wrong.deprovision,
    ]
    for operation in operations:
        with pytest.raises(ContractError, match="is a backend image, which has no operation"):
            operation()
    assert [each.state for each in shim.instances()] == ["ready"]


def test_a_pattern_serves_several_threads(shim: Shim, pattern: Pattern) -> None:
    pattern.provision("shared")

    def life(number: int) -> dict[str, object]:
        pattern.provision(f"own-{number}")
        with pattern.bind("shared", f"b{number}") as credentials, pattern.bind(f"own-{number}") as own:
            assert dict(credentials) == dict(own)
        pattern.deprovision(f"own-{number}")
        return dict(credentials)

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(life, range(4))] == [{"password": "secret"}] * 4
    [state] = shim.instances()
    assert (state.name, state.state, state.bindings, setups(shim)) == ("shared", "ready", (), [])


def test_only_one_of_several_threads_provisions_an_instance(shim: Shim, pattern: Pattern) -> None:
    ends: list[str] = []

    def provision() -> None:
        try:
            pattern.provision("one")
            ends.append("provisioned")
        except StateError as error:
            ends.append(str(error).partition(";")[0].partition(",")[0])

    threads = [threading.Thread(target=provision) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["instance 'one' exists already"] * 3 + ["provisioned"]
    assert setups(shim) == []


def bind_in_worker(pattern: Pattern, name: str) -> dict[str, object]:
    with pattern.bind("shared", name) as credentials:
        return dict(credentials)


def fail_in_worker(pattern: Pattern) -> None:
    pattern.unbind("shared", "never")


def test_a_pattern_works_in_forked_workers(shim: Shim, pattern: Pattern) -> None:
    """As a pre-forking server has it: made in the parent, used in its children."""
    pattern.provision("shared")
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()

    def work(name: str) -> None:
        try:
            results.put(bind_in_worker(pattern, name))
            fail_in_worker(pattern)
        except ShimError as error:
            results.put(error)

    workers = [context.Process(target=work, args=(f"w{number}",)) for number in range(3)]
    for worker in workers:
        worker.start()
    got = [results.get() for _ in range(6)]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert [each for each in got if isinstance(each, dict)] == [{"password": "secret"}] * 3
    errors = [str(each) for each in got if isinstance(each, StateError)]
    assert (
        errors
        == ["instance 'shared' has no binding 'never'; 'tweed-shim instances show shared' lists those it has"]
        * 3
    )
    assert (shim.instances()[0].bindings, setups(shim)) == ((), [])


PROGRAM = """
import json, sys
from tweed_shim import Shim
root, image, name = sys.argv[1:]
pattern = Shim(root).pattern(image, cloud="prod")
pattern.provision(name)
with pattern.bind(name) as own, pattern.bind("shared", name) as shared:
    print(json.dumps([dict(own), dict(shared)]))
pattern.deprovision(name)
"""


def test_several_processes_work_on_one_store(shim: Shim, pattern: Pattern) -> None:
    pattern.provision("shared")
    command = [sys.executable, "-c", PROGRAM, shim.settings.root, str(pattern._name)]
    environment = {"PATH": SYSTEM_PATH, "PYTHONPATH": os.path.join(PROJECT, "shim"), "HOME": "/nonexistent"}
    processes = [
        subprocess.Popen([*command, f"p{number}"], stdout=subprocess.PIPE, env=environment)
        for number in range(4)
    ]
    for process in processes:
        out, _ = process.communicate(timeout=120)
        assert (process.returncode, json.loads(out)) == (0, [{"password": "secret"}] * 2)
    [state] = shim.instances()
    assert (state.name, state.bindings, setups(shim)) == ("shared", (), [])


def test_an_instance_goes_on_where_its_local_image_has_been_removed(shim: Shim, pattern: Pattern) -> None:
    pattern.provision()
    path = str(pattern._name).removeprefix("oci:").removesuffix(":latest")
    os.rename(path, f"{path}-away")
    binding: Binding = pattern.bind()
    assert dict(binding) == {"password": "secret"}
    with pytest.raises(ImageError):
        pattern.provision("another")
    pattern.deprovision()
    assert shim.instances() == []
