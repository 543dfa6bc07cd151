"""Where the time of one warm command goes, from the traces that the shim writes of itself."""

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from statistics import median
from typing import NamedTuple

from benchmarks import patterns, toi, warm
from benchmarks.setting import Place, Setting

ROUNDS = 20
# In the order in which they happen; an indented one is a part of the step above it, in another process or beside it.
RUN = (
    "prepare",
    "run",
    "  namespaces",
    "  mounts",
    "  runc",
    "  program",
    "  keep",
    "  meanwhile",
    "collect",
)
STEPS: dict[str, tuple[str, ...]] = {
    "exec": ("start", "imports", "resolve", *RUN, "commit"),
    "toi": ("start", "imports", "open", "package", "resolve", "inputs", *RUN),
    # The sums of its three runs.
    "pattern": ("start", "imports", "resolve", *RUN, "commit"),
}


class Subject(NamedTuple):
    """A command that is traced, in its place. command: returns the command line of the next turn."""

    title: str
    place: Place
    command: Callable[[], Sequence[str]]


@contextmanager
def _setup(setting: Setting) -> Iterator[Subject]:
    with warm.warmed(setting) as store:
        yield Subject("exec setup", store.place, store.command)


@contextmanager
def _bootstrap(setting: Setting) -> Iterator[Subject]:
    with toi.demo(setting) as demo:
        yield Subject("toi bootstrap", demo.place, lambda: demo.command(f"--outputs={demo.outputs}"))


@contextmanager
def _provision(setting: Setting) -> Iterator[Subject]:
    with patterns.deployed(setting) as service:
        yield Subject("exec provision", service.place, lambda: service.command("provision", service.new()))


SUBJECTS: dict[str, Callable[[Setting], AbstractContextManager[Subject]]] = {
    "exec": _setup,
    "toi": _bootstrap,
    "pattern": _provision,
}


def _traced(subject: Subject, steps: Sequence[str]) -> dict[str, float]:
    """Milliseconds of each step of one run; `whole` is what the caller waits for, `rest` what no step has."""
    path, command = os.path.join(subject.place.directory, "trace.json"), subject.command()
    started = time.monotonic()
    subject.place.run([*command, "--trace", path])
    whole = (time.monotonic() - started) * 1e3
    found: dict[str, float] = defaultdict(float)
    with open(path, encoding="utf-8") as file:
        for event in json.load(file)["traceEvents"]:
            found[event["name"]] += event["dur"] / 1e3
    known = sum(found[name] for name in steps if not name.startswith(" "))
    # The interpreter is not yet there to measure its own beginning, and no longer to measure its end.
    return {
        **found,
        "whole": whole,
        "outside": whole - found["tweed-shim"],
        "rest": found["tweed-shim"] - known,
    }


def show(setting: Setting, kind: str) -> None:
    """Print the breakdown for one kind of account: of what `SUBJECTS` has under `kind`."""
    steps = STEPS[kind]
    with SUBJECTS[kind](setting) as subject:
        turns = [_traced(subject, steps) for _ in range(setting.rounds or ROUNDS)]
    print(f"\n{subject.title} as {setting.account.kind}, medians of {len(turns)}, ms")
    for name in (*steps, "rest", "outside", "whole"):
        print(f"  {name:14} {median(turn.get(name.strip(), 0) for turn in turns):7.1f}")
