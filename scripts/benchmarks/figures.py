"""Taking turns, and what comes of it: figures, as a table for people and as JSON for programs."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

COLUMNS = ("case", "account", "measured", "ours", "peer's", "ratio", "of the best", "goal", "")
# Seconds before each turn. The kernel goes on for a while to tidy up behind a container (its namespaces, its control
# group), and who starts meanwhile may have to wait for that, or be spared a wait of its own.
REST = 0.1
VERDICTS = {None: "", True: "reached", False: "MISSED"}


class Figure(NamedTuple):
    """What one contender took, ours, and what its peer did.

    what: `ours / peer's` in words. ours and theirs: one value for each turn, of the same kind (`unit`); without
    `theirs` the figure is no ratio but ours alone. most and least: what the ratio (or ours) has to keep to, None
    where it is shown for comparison only.
    """

    what: str
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    unit: str = "s"
    most: float | None = None
    least: float | None = None
    case: str = ""
    account: str = ""

    @property
    def value(self) -> float:
        """The ratio of the medians, or our own median."""
        return median(self.ours) / median(self.theirs) if self.theirs else median(self.ours)

    @property
    def best(self) -> float:
        """The ratio of the best turns: what other work on the machine disturbs least."""
        best = max if self.unit == "/s" else min
        return best(self.ours) / best(self.theirs) if self.theirs else best(self.ours)

    @property
    def reached(self) -> bool | None:
        """Whether the figure is what it has to be; None where nothing is asked of it."""
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )


def tell(figure: Figure) -> None:
    """Tell a figure as soon as it is known: the rest may take long."""
    say(f"    {figure.what}: {figure.value:.2f} (of the best {figure.best:.2f}) {VERDICTS[figure.reached]}")


def say(text: str) -> None:
    """Tell how it goes on."""
    print(f"-- {text}", file=sys.stderr, flush=True)


def take_turns(rounds: int, contenders: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """What each contender measured in each round; who is first changes from round to round."""
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        names = list(contenders)
        for name in names if number % 2 == 0 else reversed(names):
            time.sleep(REST)
            measured[name].append(contenders[name]())
    return measured


def timed(action: Callable[[], object]) -> Callable[[], float]:
    """The action, as something that measures how many seconds it takes."""

    def measure() -> float:
        started = time.perf_counter()
        action()
        return time.perf_counter() - started

    return measure


def _cells(figure: Figure) -> tuple[str, ...]:
    bound = f"<= {figure.most:g}" if figure.most is not None else ""
    bound = f">= {figure.least:g}" if figure.least is not None else bound
    verdict = VERDICTS[figure.reached]
    ours = f"{median(figure.ours):.3f} {figure.unit}"
    if not figure.theirs:
        return figure.case, figure.account, figure.what, ours, "", "", "", bound, verdict
    theirs = f"{median(figure.theirs):.3f} {figure.unit}"
    ratios = f"{figure.value:.2f}", f"{figure.best:.2f}"
    return figure.case, figure.account, figure.what, ours, theirs, *ratios, bound, verdict


def print_table(figures: Sequence[Figure]) -> None:
    """Print a line for each figure: medians, the ratio of the medians, and that of the best turns."""
    rows = [COLUMNS, *map(_cells, figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"\n{os.cpu_count()} processors, load {' '.join(f'{load:.2f}' for load in os.getloadavg())}")


def print_json(figures: Sequence[Figure]) -> None:
    """Print all values, and what comes of them."""
    found = [
        {**figure._asdict(), "value": figure.value, "best": figure.best, "reached": figure.reached}
        for figure in figures
    ]
    print(json.dumps({"figures": found, "processors": os.cpu_count(), "load": os.getloadavg()}, indent=2))
