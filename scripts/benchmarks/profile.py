"""Where the time of one warm exec goes, from the traces that the shim writes of itself."""

import json
import os
import time
from collections import defaultdict
from statistics import median

from benchmarks import warm
from benchmarks.setting import Setting

ROUNDS = 20
# In the order in which they happen; an indented one is a part of the step above it, in another process or beside it.
STEPS: tuple[str, ...] = (
    "start",
    "imports",
    "resolve",
    "prepare",
    "run",
    "  namespaces",
    "  mounts",
    "  runc",
    "  program",
)
STEPS += ("  keep", "  meanwhile", "collect", "commit")


def _traced(store: warm.Warm) -> dict[str, float]:
    """Milliseconds of each step of one setup; `whole` is what the caller waits for, `rest` what no step has."""
    path = os.path.join(store.place.directory, "trace.json")
    started = time.monotonic()
    store.place.run([*store.command(), "--trace", path])
    whole = (time.monotonic() - started) * 1e3
    found: dict[str, float] = defaultdict(float)
    with open(path, encoding="utf-8") as file:
        for event in json.load(file)["traceEvents"]:
            found[event["name"]] += event["dur"] / 1e3
    steps = sum(found[name] for name in STEPS if not name.startswith(" "))
    # The interpreter is not yet there to measure its own beginning, and no longer to measure its end.
    return {
        **found,
        "whole": whole,
        "outside": whole - found["tweed-shim"],
        "rest": found["tweed-shim"] - steps,
    }


def show(setting: Setting) -> None:
    """Print the breakdown for one kind of account."""
    with warm.warmed(setting) as store:
        turns = [_traced(store) for _ in range(setting.rounds or ROUNDS)]
    print(f"\nexec setup as {setting.account.kind}, medians of {len(turns)}, ms")
    for name in (*STEPS, "rest", "outside", "whole"):
        print(f"  {name:14} {median(turn.get(name.strip(), 0) for turn in turns):7.1f}")
