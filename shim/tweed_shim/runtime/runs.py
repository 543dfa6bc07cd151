"""What is kept of each run: its log and a record, the newest `KEPT` of them.

Runs are numbered; making number N removes number N - `KEPT`, so that no run ever reads a directory that grows.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from tweed_shim import files, state_files
from tweed_shim.errors import DamagedRecord, StateError
from tweed_shim.lean import json
from tweed_shim.lean.typing import Any
from tweed_shim.letters import decimal
from tweed_shim.option_values import shown
from tweed_shim.records import Record

KEPT = 1000
RECORD = "run.json"
LOG = "log"
KEPT_RESULT = 256 << 10  # bytes of a result that could not be used
_TEXT, _NUMBER = state_files.optional(state_files.text), state_files.optional(state_files.number)
SHAPE = {
    "run": state_files.number,
    "state": state_files.text,
    "exit_code": _NUMBER,
    **dict.fromkeys(("operation", "image", "cloud", "interaction", "started", "error"), _TEXT),
}


class Run(Record):
    """A run's place in the store. number: its name for `logs`; directory: where its log and record are."""

    number: int
    directory: str

    @property
    def log(self) -> str:
        """The path of its log; the file is there if the image wrote anything."""
        return os.path.join(self.directory, LOG)

    def note(self, **record: object) -> None:
        """Write down what is known of the run."""
        data = json.dumps({"run": self.number, **record}).encode()
        files.write_whole(os.path.join(self.directory, RECORD), data, durable=False)

    def keep_result(self, data: bytes) -> None:
        """Append to the log what the image wrote as its result, of which no use could be made."""
        if not data:
            return
        missing = len(data) - KEPT_RESULT
        end = b"\n[... %d bytes are missing here ...]\n" % missing if missing > 0 else b"\n"
        with open(
            os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, files.PRIVATE_FILE), "ab"
        ) as log:
            log.write(b"[what it wrote as its result:]\n" + data[:KEPT_RESULT].removesuffix(b"\n") + end)

    def fail(self, reason: str) -> None:
        """Write down why a run counts as failed although its image ended with code 0."""
        with suppress(DamagedRecord, FileNotFoundError):
            self.note(**{**read(self), "error": reason})


def _numbers(place: str) -> list[int]:
    numbers = map(decimal, os.listdir(place))
    return sorted(number for number in numbers if number is not None)


def _remove(place: str, number: int) -> bool:
    """Remove a run; False where it still goes on: `gc` takes it then."""
    directory = os.path.join(place, str(number))
    with suppress(FileNotFoundError), files.held_directory(directory, shared=False, wait=False) as ended:
        if not ended:
            return False
        for name in os.listdir(directory):
            os.unlink(os.path.join(directory, name))
        os.rmdir(directory)
    return True


def remove(root: str, numbers: Sequence[str] | None) -> None:
    """Remove runs with their records and logs; None stands for all that have ended.

    Raises StateError where one is not kept, or goes on; none is removed then.
    """
    place = os.path.join(root, "runs")
    if numbers is None:
        with suppress(FileNotFoundError):
            for number in _numbers(place):
                _remove(place, number)
        return
    chosen = [find(root, number) for number in numbers]
    for run in chosen:
        with files.held_directory(run.directory, shared=False, wait=False) as ended:
            if not ended:
                raise StateError(f"run {run.number} goes on; end it first, or remove it when it has ended")
    for run in chosen:
        _remove(place, run.number)


def begin(root: str) -> Run:
    """Make the place of a new run."""
    place = files.make_private(os.path.join(root, "runs"))
    with files.locked(os.path.join(place, "lock")) as counter:
        text = os.pread(counter, 32, 0).strip()
        # The counter is empty in a new store, and may be lost in an old one.
        number = 1 + (int(text) if text.isdigit() else max(_numbers(place), default=0))
        directory = os.path.join(place, str(number))
        try:
            os.mkdir(directory, files.PRIVATE_DIR)
        except FileExistsError:  # the counter is behind
            number = 1 + max(_numbers(place))
            directory = os.path.join(place, str(number))
            os.mkdir(directory, files.PRIVATE_DIR)
        os.pwrite(counter, b"%-31d\n" % number, 0)
    _remove(place, number - KEPT)
    return Run(number, directory)


def expired(root: str) -> Iterator[str]:
    """The directories of runs that are no longer kept and that a crash left; none of a run that goes on."""
    place = os.path.join(root, "runs")
    try:
        numbers = _numbers(place)
    except FileNotFoundError:
        return
    for number in numbers:
        directory = os.path.join(place, str(number))
        if number > numbers[-1] - KEPT:
            return
        with suppress(FileNotFoundError), files.held_directory(directory, shared=False, wait=False) as ended:
            if ended:
                yield directory


def timestamp() -> str:
    """Now, as RFC 3339 in UTC with seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def records(root: str, *, newest: int, warn: Callable[[str], None] = lambda _: None) -> list[dict[str, Any]]:
    """The records of the newest runs, the newest first. warn: is told of each that is damaged."""
    place = os.path.join(root, "runs")
    try:
        numbers = _numbers(place)[-newest:]
    except FileNotFoundError:
        return []
    found = []
    for number in reversed(numbers):
        try:
            found.append(read(Run(number, os.path.join(place, str(number)))))
        except DamagedRecord as damage:
            warn(str(damage))
        except OSError:
            continue  # not noted yet, or removed since
    return found


def going_on(root: str, cloud: str, interaction: str = "") -> list[str]:
    """Describe, for people, the runs that go on for a cloud: of one interaction where that is given."""
    return [
        f"run {record['run']} ({record.get('operation')}"
        + (f" of interaction '{name}'" if (name := record.get("interaction")) else "")
        + (f", process {process}" if (process := record.get("process")) else "")
        + ")"
        for record in records(root, newest=KEPT)
        if record["state"] == "running"
        and record.get("cloud") == cloud
        and interaction in ("", record.get("interaction"))
    ]


def read(run: Run) -> dict[str, Any]:
    """The record of a run. Raises DamagedRecord where it cannot be read, OSError where there is none, or not yet."""
    mend = f"'tweed-shim logs {run.number}' shows what the image said; remove the file to hear no more of it"
    record = state_files.read(os.path.join(run.directory, RECORD), SHAPE, mend=mend)
    if record["state"] == "running":
        with files.held_directory(run.directory, shared=False, wait=False) as ended:
            return {**record, "state": "killed"} if ended else record
    return record


def find(root: str, number: str) -> Run:
    """A run by its number; raises StateError where it is not kept (any more)."""
    run = Run(decimal(number) or 0, os.path.join(root, "runs", number))
    if run.number == 0 or not os.path.isdir(run.directory):
        raise StateError(f"there is no run {shown(number)}; 'tweed-shim logs' lists those that are kept")
    return run
