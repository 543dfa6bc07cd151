"""An error reaches the caller as it was raised, out of a worker process too."""

import copy
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import tweed_shim
from refusals import throw
from tweed_shim.errors import BadVersion, NotRecorded, OperationFailed, OutputsLost, ShimError, TimedOut
from tweed_shim.spiff.failures import SpiffError, UnresolvedNode
from tweed_shim.toi.executor import ExecutorError
from tweed_shim.toi.outputs import Outputs, OutputsUnwritten

# How an error is made whose constructor takes more than a message, and the fields that are set later.
MADE: dict[str, Any] = {
    "BadVersion": lambda kind: kind("1..2" * 30, "invalid semantic version"),
    "RefusedFormat": lambda kind: kind("it has a list", "use json"),
    "SteeringVariable": lambda kind: kind("it sets PATH", "allow it", ("PATH",)),
    "OperationFailed": lambda kind: kind("it failed", exit_code=7, run="12"),
    "TimedOut": lambda kind: kind("it took too long", run="12"),
    "OutputsUnwritten": lambda kind: kind(ShimError("no space"), {"a": b"1"}),
    "PassingFault": lambda kind: kind("busy", retry_after=2.5),
}
FIELDS: dict[str, Any] = {
    "outputs": {"a": b"\0"},
    "environment": {"A": "b"},
    "nodes": (UnresolvedNode("(( a ))", "t.yaml", ("a",), "not found"),),
}


def subclasses(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for each in kind.__subclasses__():
        yield from subclasses(each)


def reaching_callers() -> list[type[BaseException]]:
    for module in pkgutil.walk_packages(tweed_shim.__path__, "tweed_shim."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = {kind for base in (ShimError, ExecutorError) for kind in subclasses(base)}
    return sorted((kind for kind in found if kind.__module__.startswith("tweed_shim.")), key=str)


def made(kind: type[BaseException]) -> BaseException:
    error: BaseException = MADE.get(kind.__name__, lambda kind: kind("what happened: why; do this"))(kind)
    for name, value in FIELDS.items():
        if name in {*vars(error), *vars(kind)} and not isinstance(getattr(error, name), Outputs):
            setattr(error, name, value)
    error.add_note("a note of the caller")
    return error


@pytest.mark.parametrize("kind", reaching_callers(), ids=lambda kind: kind.__name__)
def test_an_error_is_copied_and_pickled_with_all_its_fields(kind: type[BaseException]) -> None:
    error = made(kind)
    again = [pickle.loads(pickle.dumps(error, each)) for each in range(pickle.HIGHEST_PROTOCOL + 1)]
    for other in (*again, copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))
        assert getattr(other, "exit_code", None) == getattr(error, "exit_code", None)


def test_the_table_knows_every_constructor_that_takes_more_than_a_message() -> None:
    for kind in reaching_callers():
        if "__init__" in vars(kind) and kind not in (NotRecorded, OutputsLost, SpiffError):
            assert kind.__name__ in MADE, inspect.signature(kind)
    assert {BadVersion, OperationFailed, TimedOut, OutputsUnwritten} <= {*reaching_callers()}


def test_a_pool_of_processes_hands_every_error_on() -> None:
    # Not forked: this process has threads of other tests.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for kind in (OperationFailed, TimedOut, BadVersion):
            with pytest.raises(kind) as failed:
                pool.apply_async(throw, (made(kind),)).get(60)
            assert str(failed.value) == str(made(kind))
