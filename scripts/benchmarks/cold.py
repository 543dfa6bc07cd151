"""Cold operations: nothing is there but a registry on loopback."""

from collections.abc import Callable

from benchmarks import images
from benchmarks.figures import Figure, take_turns, timed
from benchmarks.images import Bundle
from benchmarks.peers import Podman, copy_and_unpack, installed, works
from benchmarks.setting import Place, Setting, fresh_disk, serving

ROUNDS = {"small": 5, "many-layers": 5, "large": 3}


Contender = Callable[[Setting, Place, str], float]


def _shim(setting: Setting, place: Place, reference: str) -> float:
    operation = setting.shim(place, "exec", reference, "metadata", "--network", "none")
    return timed(lambda: place.run(operation))()


def _podman(_setting: Setting, place: Place, reference: str) -> float:
    podman = Podman(place, reference)

    def pull_and_run() -> None:
        podman.pull()
        podman.run("metadata")

    try:
        return timed(pull_and_run)()
    finally:
        podman.end()


def _tools(_setting: Setting, place: Place, reference: str) -> float:
    return copy_and_unpack(place, reference)


def _compare(setting: Setting, bundle: Bundle, most: float) -> list[Figure]:
    with serving(setting, bundle) as reference:

        def turn(contender: Contender) -> Callable[[], float]:
            def measure() -> float:
                with fresh_disk(setting.account) as place:
                    return contender(setting, place, reference)

            return measure

        turns = {"shim": turn(_shim)}
        if installed("podman") and works("podman", turn(_podman)):
            turns["podman"] = turn(_podman)
        if installed("skopeo") and installed("umoci"):
            turns["tools"] = turn(_tools)
        seconds = take_turns(setting.rounds or ROUNDS[bundle.name], turns)
    goals = {"podman": ("podman pull + podman run", most), "tools": ("skopeo copy + umoci unpack", None)}
    return [
        Figure(f"exec metadata / {what}", seconds["shim"], seconds[name], most=goal)
        for name, (what, goal) in goals.items()
        if name in seconds
    ] or [Figure("exec metadata", seconds["shim"])]


def small(setting: Setting) -> list[Figure]:
    """(c) 2 MB."""
    return _compare(setting, images.SMALL, 1.0)


def many_layers(setting: Setting) -> list[Figure]:
    """(c) 20 layers, 100 MB."""
    return _compare(setting, images.MANY_LAYERS, 1.0)


def large(setting: Setting) -> list[Figure]:
    """(c) 60,000 files, 500 MB."""
    return _compare(setting, images.LARGE, 1.2)
