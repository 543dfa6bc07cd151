"""(pattern): an operation of a pattern with its chain, beside `runc run` of the same three programs alone."""

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from benchmarks import images
from benchmarks.figures import REST, Figure, take_turns, timed
from benchmarks.peers import Runc
from benchmarks.setting import Place, Setting, own_directory, serving

ROUNDS = 30
MOST = 1.7
# Without a network, as the peer's containers.
OPTIONS = ("--network", "none")
BOUND = "bound"


class Service(NamedTuple):
    """A store with a configured cloud, and the images of its backend and of a pattern, both warm.

    trees: the unpacked images, the backend's first. numbers: those of instances and bindings.
    """

    setting: Setting
    place: Place
    pattern: str
    trees: Sequence[str]
    numbers: Iterator[int]

    def new(self) -> str:
        """Return the option that names an instance that there is not yet."""
        return f"--instance=instance-{next(self.numbers)}"

    def command(self, operation: str, *options: str) -> list[str]:
        """Return the command line of an operation."""
        inputs = ["--inputs", self.inputs] if operation == "provision" else []
        return self.setting.shim(self.place, "exec", self.pattern, operation, *OPTIONS, *inputs, *options)

    @property
    def inputs(self) -> str:
        """The file with the user's parameters."""
        return os.path.join(self.place.directory, "inputs.json")

    def run(self, operation: str, *options: str) -> None:
        """Run an operation once."""
        self.place.run(self.command(operation, *options))

    def provision(self) -> float:
        """Provision a new instance. Return how long it took."""
        instance = self.new()
        return timed(lambda: self.run("provision", instance))()

    def bind(self) -> float:
        """Make a new binding of an instance that there is. Return how long it took."""
        options = (f"--instance={BOUND}", f"--binding=binding-{next(self.numbers)}")
        return timed(lambda: self.run("bind", *options))()

    def deprovision(self) -> float:
        """Deprovision an instance. Return how long it took."""
        instance = self.new()
        self.run("provision", instance)
        time.sleep(REST)
        return timed(lambda: self.run("deprovision", instance))()

    def bare(self, operation: str) -> Callable[[], float]:
        """Return what runs the three programs of an operation, one after the other, and returns how long they took."""
        backend, pattern = self.trees
        runs = [
            Runc(self.place, tree, ("/entrypoint", name), bundle=f"{operation}-{name}")
            for tree, name in ((backend, "setup"), (pattern, operation), (backend, "teardown"))
        ]

        def run_all() -> None:
            for each in runs:
                each.run()

        return timed(run_all)


@contextmanager
def deployed(setting: Setting) -> Iterator[Service]:
    """A service for the time of the block, with one instance: BOUND."""
    with ExitStack() as stack:
        backend = stack.enter_context(serving(setting, images.BACKEND))
        pattern = stack.enter_context(serving(setting, images.PATTERN))
        place = stack.enter_context(own_directory(setting.account))
        rootfs = os.path.join(place.directory, "store", "rootfs")
        place.run(setting.shim(place, "pull", backend))
        [first] = os.listdir(rootfs)
        place.run(setting.shim(place, "pull", pattern))
        [second] = {*os.listdir(rootfs)} - {first}
        trees = [os.path.join(rootfs, name, "rootfs") for name in (first, second)]
        service = Service(setting, place, pattern, trees, itertools.count())
        with open(service.inputs, "w", encoding="utf-8") as file:
            json.dump({"size": 1}, file)
        configure = setting.shim(place, "exec", backend, "configure", "--config", service.inputs)
        place.run(configure)
        service.run("provision", f"--instance={BOUND}")
        yield service


def chain(setting: Setting) -> list[Figure]:
    """How long operations take, each with the setup before and the teardown after it."""
    with deployed(setting) as service:
        operations = ("provision", "bind", "deprovision")
        contenders = {name: getattr(service, name) for name in operations}
        contenders |= {f"bare {name}": service.bare(name) for name in operations}
        seconds = take_turns(setting.rounds or ROUNDS, contenders)
    return [
        Figure(
            f"exec {name} / runc run of its three programs",
            seconds[name],
            seconds[f"bare {name}"],
            most=MOST if name == "provision" else None,
        )
        for name in operations
    ]
