"""(e): the most memory that the shim itself had at any time, whatever the programs that it starts have."""

import re
import subprocess

from benchmarks import images, warm
from benchmarks.figures import Figure
from benchmarks.setting import Failed, Setting, fresh_disk, serving

ROUNDS = 5
MB = 10**6
PEAK = re.compile(r"^VmHWM:\s*([0-9]+) kB", re.MULTILINE)
LOOKING = 0.001  # seconds between two looks


def _peak(process: "subprocess.Popen[bytes]") -> float:
    """The peak of one process in MB, seen from outside until it ends.

    Not from its resource usage, in which the kernel counts the children that it has waited for.
    """
    peak = 0
    while True:
        try:
            process.wait(LOOKING)
        except subprocess.TimeoutExpired:
            # A peak does not sink: only what comes in the last moment can be missed.
            with open(f"/proc/{process.pid}/status", encoding="ascii", errors="replace") as file:
                found = PEAK.search(file.read())
            peak = max(peak, int(found[1]) * 1024 if found else 0)
            continue
        if process.returncode != 0:
            raise Failed("the operation whose memory is measured has failed")
        return peak / MB


def peaks(setting: Setting) -> list[Figure]:
    """Of a warm setup, and of a pull of the large image."""
    rounds = setting.rounds or ROUNDS
    with warm.warmed(setting) as store:
        setup = [_peak(store.place.start(store.command())) for _ in range(rounds)]
    with serving(setting, images.LARGE) as reference, fresh_disk(setting.account) as place:
        pull = _peak(place.start(setting.shim(place, "pull", reference)))
    return [
        Figure("peak memory, exec setup", setup, unit="MB", most=30),
        Figure("peak memory, pull of the large image", [pull], unit="MB"),
    ]
