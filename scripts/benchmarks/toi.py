"""(toi): a whole `toi bootstrap` of the sample package out of an archive, beside `runc run` of its executor alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from benchmarks.figures import Figure, take_turns, timed
from benchmarks.peers import Runc
from benchmarks.setting import Place, Setting, own_directory
from sample_images import BUILD_COMPONENT, TOI_DEMO

ROUNDS = 30
MOST = 0.150
FILES = {
    "parameters": "host: localhost\n",
    "credentials": "credentials: {target: {credentials: {username: admin, password: any}}}\n",
}
PROGRAM = ("/usr/bin/toi-demo", "install", TOI_DEMO.removeprefix("//"))


class Demo(NamedTuple):
    """The sample package in an archive, with what it has to be given, and its image unpacked in a store."""

    setting: Setting
    place: Place

    def command(self, *more: str) -> list[str]:
        """The command line that installs it."""
        at = self.place.directory
        options = [f"--{name}={os.path.join(at, name)}" for name in FILES]
        component = f"{at}/demo.ctf{TOI_DEMO}"
        return self.setting.shim(self.place, "toi", "bootstrap", "install", component, *options, *more)

    @property
    def outputs(self) -> str:
        """Where the outputs go."""
        return os.path.join(self.place.directory, "outputs.yaml")

    def install(self) -> None:
        """Install it once."""
        self.place.run(self.command(f"--outputs={self.outputs}"))

    def runc(self) -> Runc:
        """The same executor in the same rootfs, with the same inputs, and nothing around it."""
        tree, rootfs = (os.path.join(self.place.directory, name) for name in ("toi", "rootfs"))
        self.place.run(self.command("--create-env", tree))
        [unpacked] = os.scandir(os.path.join(self.place.directory, "store", "rootfs"))
        self.place.run(["cp", "-R", "--no-preserve=ownership", os.path.join(unpacked.path, "rootfs"), rootfs])
        self.place.run(["mkdir", os.path.join(rootfs, "toi")])
        return Runc(self.place, rootfs, PROGRAM, mounts={"/toi": tree})


@contextmanager
def demo(setting: Setting) -> Iterator[Demo]:
    """The sample, warm, for the time of the block."""
    with own_directory(setting.account) as place:
        archive = os.path.join(place.directory, "demo.ctf")
        build = [sys.executable, BUILD_COMPONENT, "toi-demo", archive]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["chmod", "-R", "a+rX", archive], check=True)
        for name, text in FILES.items():
            with open(os.path.join(place.directory, name), "w", encoding="utf-8") as file:
                file.write(text)
        found = Demo(setting, place)
        found.install()
        yield found


def bootstrap(setting: Setting) -> list[Figure]:
    """How long it takes, and how much of that is more than the run of the executor."""
    with demo(setting) as sample:
        runc = sample.runc()
        contenders = {"shim": timed(sample.install), "runc": timed(runc.run)}
        seconds = take_turns(setting.rounds or ROUNDS, contenders)
    on_top = [ours - theirs for ours, theirs in zip(seconds["shim"], seconds["runc"], strict=True)]
    return [
        Figure("toi bootstrap / runc run", seconds["shim"], seconds["runc"]),
        Figure("toi bootstrap, on top of runc run", on_top, most=MOST),
    ]
