"""The record and the log of each run: ROOT/runs/N/run.json and ROOT/runs/N/log, for the newest `MOST_RUNS` runs.

Runs are numbered. Making number N removes number N - `MOST_RUNS`, so that no run reads a directory that grows.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from tweed_shim.base import files, state_files
from tweed_shim.base.lean import json
from tweed_shim.base.lean.typing import Any
from tweed_shim.base.option_values import shown
from tweed_shim.base.records import Record
from tweed_shim.base.text import decimal
from tweed_shim.errors import DamagedRecord, StateError

MOST_RUNS = 1000
RECORD = "run.json"
LOG = "log"
LOGGED_RESULT = 256 << 10  # bytes of a result that could not be used
_TEXT, _NUMBER = state_files.optional(state_files.text), state_files.optional(state_files.number)
SHAPE = {
    "run": state_files.number,
    "state": state_files.text,
    "exit_code": _NUMBER,
    **dict.fromkeys(
        ("operation", "image", "cloud", "interaction", "instance", "binding", "started", "error"), _TEXT
    ),
}


class Run(Record):
    """A run of the store. number: its name for `logs`; directory: where its log and record are."""

    number: int
    directory: str

    @property
    def log(self) -> str:
        """The path of its log; the file is there if the image wrote anything."""
        return os.path.join(self.directory, LOG)

    def write_record(self, record: Mapping[str, object]) -> None:
        """Write the record of the run, in place of the one before."""
        data = json.dumps({"run": self.number, **record}).encode()
        files.write_whole(os.path.join(self.directory, RECORD), data, durable=False)

    def log_result(self, data: bytes) -> None:
        """Append to the log a result that could not be used; LOGGED_RESULT bytes of it at most."""
        if not data:
            return
        missing = len(data) - LOGGED_RESULT
        end = b"\n[... %d bytes are missing here ...]\n" % missing if missing > 0 else b"\n"
        with open(
            os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, files.PRIVATE_FILE), "ab"
        ) as log:
            log.write(b"[what it wrote as its result:]\n" + data[:LOGGED_RESULT].removesuffix(b"\n") + end)

    def fail(self, reason: str) -> None:
        """Add to the record why a run counts as failed although its image ended with code 0."""
        with suppress(DamagedRecord, FileNotFoundError):
            self.write_record({**read(self), "error": reason})


def _numbers(directory: str) -> list[int]:
    numbers = map(decimal, os.listdir(directory))
    return sorted(number for number in numbers if number is not None)


def _remove(directory: str) -> bool:
    """Remove the directory of a run; return False where the run still goes on. `gc` removes it later."""
    with suppress(FileNotFoundError), files.held_directory(directory, shared=False, wait=False) as ended:
        if not ended:
            return False
        for name in os.listdir(directory):
            os.unlink(os.path.join(directory, name))
        os.rmdir(directory)
    return True


def remove(root: str, numbers: Sequence[str] | None) -> None:
    """Remove runs with their records and logs; None stands for all that have ended.

    Raises StateError where one is not in the store, or goes on; none is removed then.
    """
    directory = os.path.join(root, "runs")
    if numbers is None:
        with suppress(FileNotFoundError):
            for number in _numbers(directory):
                _remove(os.path.join(directory, str(number)))
        return
    chosen = [find(root, number) for number in numbers]
    for run in chosen:
        with files.held_directory(run.directory, shared=False, wait=False) as ended:
            if not ended:
                raise StateError(f"run {run.number} goes on; end it first, or remove it when it has ended")
    for run in chosen:
        _remove(run.directory)


def begin(root: str) -> Run:
    """Make the directory of a new run, and remove that of the oldest."""
    parent = files.make_private(os.path.join(root, "runs"))
    with files.locked(os.path.join(parent, "lock")) as counter:
        text = os.pread(counter, 32, 0).strip()
        # The counter is empty in a new store, and may be lost in an old one.
        number = 1 + (int(text) if text.isdigit() else max(_numbers(parent), default=0))
        directory = os.path.join(parent, str(number))
        try:
            os.mkdir(directory, files.PRIVATE_DIR)
        except FileExistsError:  # the counter is behind
            number = 1 + max(_numbers(parent))
            directory = os.path.join(parent, str(number))
            os.mkdir(directory, files.PRIVATE_DIR)
        os.pwrite(counter, b"%-31d\n" % number, 0)
    _remove(os.path.join(parent, str(number - MOST_RUNS)))
    return Run(number, directory)


def expired(root: str) -> Iterator[str]:
    """Yield the directories of ended runs older than the newest `MOST_RUNS`, which a crash left."""
    parent = os.path.join(root, "runs")
    try:
        numbers = _numbers(parent)
    except FileNotFoundError:
        return
    for number in numbers:
        directory = os.path.join(parent, str(number))
        if number > numbers[-1] - MOST_RUNS:
            return
        with suppress(FileNotFoundError), files.held_directory(directory, shared=False, wait=False) as ended:
            if ended:
                yield directory


def timestamp() -> str:
    """Return the time as RFC 3339 has it, in UTC with seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def records(root: str, *, newest: int, warn: Callable[[str], None] = lambda _: None) -> list[dict[str, Any]]:
    """Return the records of the newest runs, the newest first. warn: called with a message for each damaged one."""
    directory = os.path.join(root, "runs")
    try:
        numbers = _numbers(directory)[-newest:]
    except FileNotFoundError:
        return []
    result = []
    for number in reversed(numbers):
        try:
            result.append(read(Run(number, os.path.join(directory, str(number)))))
        except DamagedRecord as damage:
            warn(str(damage))
        except OSError:
            continue  # not written yet, or removed since
    return result


def going_on(root: str, **names: str) -> list[str]:
    """Describe the runs that go on, as words for messages.

    names: what their records have to say, such as `cloud="prod"`; an empty name leaves all.
    """
    wanted = {kind: name for kind, name in names.items() if name}
    return [
        f"run {record['run']} ({record.get('operation')}"
        + (f" of interaction '{name}'" if (name := record.get("interaction")) else "")
        + (f" of instance '{name}'" if (name := record.get("instance")) else "")
        + (f", process {process}" if (process := record.get("process")) else "")
        + ")"
        for record in records(root, newest=MOST_RUNS)
        if record["state"] == "running" and all(record.get(kind) == name for kind, name in wanted.items())
    ]


def read(run: Run) -> dict[str, Any]:
    """Read the record of a run. Raises DamagedRecord where it is damaged, OSError where there is none, or not yet."""
    mend = f"'tweed-shim logs {run.number}' shows what the image said; remove the file to end this warning"
    record = state_files.read(os.path.join(run.directory, RECORD), SHAPE, mend=mend)
    if record["state"] == "running":
        with files.held_directory(run.directory, shared=False, wait=False) as ended:
            return {**record, "state": "killed"} if ended else record
    return record


def find(root: str, number: str) -> Run:
    """Return a run by its number. Raises StateError where the store has no such run, or no longer."""
    run = Run(decimal(number) or 0, os.path.join(root, "runs", number))
    if run.number == 0 or not os.path.isdir(run.directory):
        raise StateError(f"there is no run {shown(number)}; 'tweed-shim logs' lists those that there are")
    return run
