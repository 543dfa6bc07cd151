"""What the security checks of one run cost by themselves: (b) shows the sum, `run-checks` each of them."""

import json
import os

from benchmarks.figures import Figure
from benchmarks.setting import Place, Setting

REPETITIONS = 200
MOST = 1.0  # milliseconds
IN_PROCESS = os.path.join(os.path.dirname(__file__), "checks_in_process.py")


def figures(setting: Setting, place: Place, reference: str) -> list[Figure]:
    """Measure each check of a warm setup, and last all of them together: milliseconds in one process.

    place: has a store with the image, and a configured cloud.
    """
    task = {
        "root": os.path.join(place.directory, "store"),
        "reference": reference,
        "directory": place.directory,
        "repetitions": REPETITIONS,
    }
    with open(IN_PROCESS, "rb") as file:
        # Its own directory may not be readable to the user.
        said = place.output([setting.python, "-I", "-", json.dumps(task)], stdin=file.read())
    seconds: dict[str, list[float]] = json.loads(said)
    each = {name: [value * 1e3 for value in values] for name, values in seconds.items()}
    together = [sum(values) for values in zip(*each.values(), strict=True)]
    return [
        *(Figure(name, values, unit="ms") for name, values in each.items()),
        Figure("all security checks of one run", together, unit="ms", most=MOST),
    ]
