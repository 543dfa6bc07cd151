"""What an executor has left in /toi/outputs: collected, named as the package wants it, and handed out."""

import base64
import os
from collections.abc import Mapping
from typing import Any

from tweed_shim import spiff
from tweed_shim.base import files, named_files
from tweed_shim.base.records import Record
from tweed_shim.data import documents
from tweed_shim.errors import ConfigError, HostError
from tweed_shim.runtime import volumes
from tweed_shim.toi import specification

LIMIT = 64 << 20


class Outputs(Record):
    """The outputs of an action by their names.

    missing: the files that are mapped to an output and were not written. lost: the files that were written and are not
    kept, left_out: what was made that is no plain file; both with the reason, as parts of a sentence.
    """

    values: Mapping[str, bytes]
    missing: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    HIDDEN = ("values",)


class Unwritten(HostError):
    """Outputs could not be written; `outputs` are they."""

    def __init__(self, why: HostError, values: Mapping[str, bytes]) -> None:
        super().__init__(str(why))
        self.outputs = Outputs(values)


def collect(directory: str, names: Mapping[str, str]) -> Outputs:
    """Read the files of an executor that a run has kept (see `exchange.keep`).

    names: the names of outputs by those of files. A file without one is an output under its own name.
    """
    values: dict[str, bytes] = {}
    lost, left_out = list[str](), list[str]()
    there = set(os.listdir(directory))
    for name in [*(name for name in names if name in there), *sorted(there - names.keys())]:
        path, output = os.path.join(directory, name), names.get(name, name)
        shown = name if _is_text(name) else repr(os.fsencode(name))
        reason = os.readlink(path) if os.path.islink(path) else ""
        if reason.startswith(volumes.NOT_PLAIN):
            left_out.append(f"{shown} ({reason.removeprefix(volumes.NOT_PLAIN)})")
        elif reason:
            lost.append(f"{output if _is_text(output) else shown} is not kept ({reason})")
        elif not _is_text(output):
            lost.append(f"the file {shown} is not kept (its name is not UTF-8)")
        else:
            with open(path, "rb") as file:
                # A name that the package gives is worth more than one that the executor chose.
                values.setdefault(output, file.read())
    missing = tuple(name for name in names if name not in there)
    return Outputs(values, missing, tuple(lost), tuple(left_out))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def document(outputs: Outputs) -> str:
    """Return all outputs as one YAML document: what is YAML or JSON as what it says, the rest as `binary: BASE64`.

    Scalars mean what they mean in packages and parameters: `0x10` is 16.
    """
    return spiff.dump({"outputs": {name: _value(data) for name, data in outputs.values.items()}})


def _value(data: bytes) -> Any:
    try:
        return documents.load(data, name="the output", scalar=specification.scalar).value
    except ConfigError:
        return {"binary": base64.b64encode(data).decode()}


def check_place(path: str) -> None:
    """Raise HostError where outputs cannot be written to a file or into a directory, as far as one can tell before."""
    if not path or (path.endswith("/") and not os.path.isdir(path)):
        raise _unwritable(path or "''", "there is no such directory")
    place = path if os.path.isdir(path) else os.path.dirname(os.path.realpath(path))
    if not files.is_special(path) and not (os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK)):
        reason = "no permission" if os.path.isdir(place) else f"{place} is no directory"
        raise _unwritable(path, reason)
    try:
        with named_files.resolved(path):
            pass
    except OSError as error:
        raise _unwritable(path, error.strerror) from error


def write(outputs: Outputs, path: str) -> None:
    """Write all outputs to a file, or each to one of its own in a directory. Raises Unwritten where that fails."""
    faults: dict[str, HostError] = {}
    if os.path.isdir(path):
        for name, data in outputs.values.items():
            if fault := _written(os.path.join(path, name), data):
                faults[name] = fault
    elif fault := _written(path, document(outputs).encode()):
        faults = dict.fromkeys(outputs.values, fault)
    if faults:
        raise Unwritten(next(iter(faults.values())), {name: outputs.values[name] for name in faults})


def _written(path: str, data: bytes) -> HostError | None:
    """Write a file; returns why it cannot be."""
    try:
        named_files.write(path, data)
    except OSError as error:
        return _unwritable(path, error.strerror)
    return None


def _unwritable(path: str, reason: str | None) -> HostError:
    return HostError(
        f"the outputs cannot be written to {path} ({reason}): name a file or a directory that you may write"
    )
