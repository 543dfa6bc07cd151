"""Warm operations: the image is unpacked and the cloud configured."""

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from benchmarks import checks, images
from benchmarks.figures import REST, Figure, take_turns, timed
from benchmarks.peers import Docker, Podman, Runc, installed, works
from benchmarks.setting import Place, Setting, fresh_disk, own_directory, serving

ROUNDS = 30
OPERATIONS = 200
AT_A_TIME = 4
IN_A_TURN = 40
IN_PROCESS = os.path.join(os.path.dirname(__file__), "in_process.py")


class Warm(NamedTuple):
    """A store with the small image and a configured cloud."""

    setting: Setting
    place: Place
    reference: str

    def command(self, interaction: str = "default") -> list[str]:
        """The command line of a setup."""
        options = ["--interaction", interaction, "--replace", "--network", "none"]
        return self.setting.shim(self.place, "exec", self.reference, "setup", *options)

    def setup(self) -> None:
        """Set the interaction up once."""
        self.place.run(self.command())

    def rootfs(self) -> str:
        """The unpacked image."""
        [tree] = os.scandir(os.path.join(self.place.directory, "store", "rootfs"))
        return os.path.join(tree.path, "rootfs")


def make_warm(setting: Setting, place: Place, reference: str) -> Warm:
    """Pull and configure."""
    warm = Warm(setting, place, reference)
    configure = setting.shim(place, "exec", reference, "configure", "--config", "/dev/null")
    place.run(["sh", "-c", 'echo "{}" | "$@"', "sh", *configure[:-1], "-"])
    warm.setup()
    return warm


@contextmanager
def warmed(setting: Setting) -> Iterator[Warm]:
    """A warm store for the time of the block."""
    with serving(setting, images.SMALL) as reference, own_directory(setting.account) as place:
        yield make_warm(setting, place, reference)


@contextmanager
def warm_podman(warm: Warm) -> Iterator[Podman | None]:
    """podman with the image pulled, None where there is no podman."""
    if not installed("podman"):
        yield None
        return
    with fresh_disk(warm.setting.account) as place:
        podman = Podman(place, warm.reference)

        def first() -> None:
            podman.pull()
            podman.run("setup")

        try:
            yield podman if works("podman", first) else None
        finally:
            podman.end()


@contextmanager
def warm_docker(warm: Warm) -> Iterator[Docker | None]:
    """docker with the image pulled, None where there is none that the account may use."""
    docker = Docker(warm.place, warm.reference)
    if not installed("docker") or not docker.answers():
        yield None
        return

    def first() -> None:
        docker.pull()
        docker.run("setup")

    if not works("docker", first):
        yield None
        return
    try:
        yield docker
    finally:
        docker.end()


def processes(setting: Setting) -> list[Figure]:
    """(a): `exec setup` as a process, beside `runc run` of the same program, podman and docker."""
    with ExitStack() as stack:
        warm = stack.enter_context(warmed(setting))
        runc = Runc(warm.place, warm.rootfs(), ("/entrypoint", "setup"))
        podman = stack.enter_context(warm_podman(warm))
        docker = stack.enter_context(warm_docker(warm))
        contenders: dict[str, Callable[[], float]] = {"shim": timed(warm.setup), "runc": timed(runc.run)}
        if podman is not None:
            contenders["podman"] = timed(lambda: podman.run("setup"))
        if docker is not None:
            contenders["docker"] = timed(lambda: docker.run("setup"))
        seconds = take_turns(setting.rounds or ROUNDS, contenders)
    figures = [Figure("exec setup / runc run", seconds["shim"], seconds["runc"], most=2.0)]
    return figures + [
        Figure(f"exec setup / {peer} run --rm", seconds["shim"], seconds[peer])
        for peer in ("podman", "docker")
        if peer in seconds
    ]


def in_process(setting: Setting) -> list[Figure]:
    """(b): `Backend.setup` in a process that has done it before, beside `runc run` started by the same process."""
    with warmed(setting) as warm:
        runc = Runc(warm.place, warm.rootfs(), ("/entrypoint", "setup"))
        task = {
            "root": os.path.join(warm.place.directory, "store"),
            "reference": warm.reference,
            "rounds": setting.rounds or ROUNDS,
            "rest": REST,
            "peer": runc.command,
        }
        with open(IN_PROCESS, "rb") as file:
            # Its own directory may not be readable to the user.
            said = warm.place.output([setting.python, "-I", "-", json.dumps(task)], stdin=file.read())
        *_, all_checks = checks.figures(setting, warm.place, warm.reference)
    seconds = json.loads(said)
    return [Figure("Backend.setup / runc run", seconds["ours"], seconds["theirs"], most=1.35), all_checks]


def each_check(setting: Setting) -> list[Figure]:
    """`run-checks`: what the shim checks of its store, its image and its host for one warm setup."""
    with warmed(setting) as warm:
        return checks.figures(setting, warm.place, warm.reference)


def side_by_side(setting: Setting) -> list[Figure]:
    """(d): operations per second, 4 at a time."""
    with ExitStack() as stack:
        warm = stack.enter_context(warmed(setting))
        podman = stack.enter_context(warm_podman(warm))
        contenders = {"shim": lambda: _rate(warm.place, lambda worker: warm.command(f"worker-{worker}"))}
        if podman is not None:
            contenders["podman"] = lambda: _rate(podman.place, lambda _: podman.command("setup"))
        rates = take_turns(OPERATIONS // IN_A_TURN, contenders)
    if podman is None:
        return [Figure("exec setup, 4 at a time", rates["shim"], unit="/s")]
    return [
        Figure("exec setup / podman run --rm, 4 at a time", rates["shim"], rates["podman"], "/s", least=3)
    ]


def _rate(place: Place, command: Callable[[int], list[str]]) -> float:
    def work(worker: int) -> None:
        for _ in range(IN_A_TURN // AT_A_TIME):
            place.run(command(worker))

    started = time.perf_counter()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(work, range(AT_A_TIME)))
    return IN_A_TURN / (time.perf_counter() - started)
