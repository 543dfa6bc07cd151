"""Runs inside of the installed package, for case (b): operations through the Python API, and their peer."""

import json
import os
import sys
import time
from typing import Any

from tweed_shim import Shim
from tweed_shim.tweed.operation_runner import Options


def main(task: dict[str, Any]) -> None:
    shim = Shim(root=task["root"])
    backend = shim.backend(task["reference"], options=Options(network="none"))
    null = os.open(os.devnull, os.O_RDWR)
    quiet = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]

    def ours() -> None:
        backend.setup(replace=True)

    def theirs() -> None:
        peer = os.posix_spawnp(task["peer"][0], task["peer"], os.environ, file_actions=quiet)
        if os.waitpid(peer, 0)[1] != 0:
            sys.exit("the peer has failed")

    ours()
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(task["rounds"]):
        turns = [("ours", ours), ("theirs", theirs)]
        for name, turn in turns if number % 2 == 0 else reversed(turns):
            time.sleep(task["rest"])
            started = time.perf_counter()
            turn()
            seconds[name].append(time.perf_counter() - started)
    print(json.dumps(seconds))


main(json.loads(sys.argv[1]))
