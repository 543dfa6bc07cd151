"""Collect what an executor wrote to /toi/outputs, name it as the package says, and write it for the user."""

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

    missing: files that the package maps to an output and the executor has not written. lost: files that were written
    and are not kept. left_out: files that are not plain files. Both give the reason, as part of a sentence.
    """

    values: Mapping[str, bytes]
    missing: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    HIDDEN = ("values",)


class OutputsUnwritten(HostError):
    """Outputs could not be written to the user's files; `outputs` holds them."""

    def __init__(self, reason: HostError, values: Mapping[str, bytes]) -> None:
        super().__init__(str(reason))
        self.outputs = Outputs(values)


def collect(directory: str, names: Mapping[str, str]) -> Outputs:
    """Read the files of an executor that a run has kept in a directory (see `volumes.keep`).

    names: the names of outputs by the names of files. A file without an entry is an output under its own name.
    """
    values: dict[str, bytes] = {}
    lost, left_out = list[str](), list[str]()
    written = set(os.listdir(directory))
    for name in [*(name for name in names if name in written), *sorted(written - names.keys())]:
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
                # The first one wins: a name that the package gives, before one that the executor chose.
                values.setdefault(output, file.read())
    missing = tuple(name for name in names if name not in written)
    return Outputs(values, missing, tuple(lost), tuple(left_out))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_yaml(outputs: Outputs) -> str:
    """Return all outputs as one YAML document.

    An output that is YAML or JSON becomes that value, with scalars as in packages and parameters (`0x10` is 16). Any
    other becomes `binary: BASE64`.
    """
    return spiff.dump({"outputs": {name: _value(data) for name, data in outputs.values.items()}})


def _value(data: bytes) -> Any:
    try:
        return documents.load(data, name="the output", scalar=specification.parse_scalar).value
    except ConfigError:
        return {"binary": base64.b64encode(data).decode()}


def check_target(path: str) -> None:
    """Raise HostError where it is clear before the run that outputs cannot be written to a file or a directory."""
    if not path or (path.endswith("/") and not os.path.isdir(path)):
        raise _unwritable(path or "''", "there is no such directory")
    directory = path if os.path.isdir(path) else os.path.dirname(os.path.realpath(path))
    if not files.is_special(path) and not (
        os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK)
    ):
        reason = "no permission" if os.path.isdir(directory) else f"{directory} is no directory"
        raise _unwritable(path, reason)
    try:
        with named_files.resolved(path):
            pass
    except OSError as error:
        raise _unwritable(path, error.strerror) from error


def write(outputs: Outputs, path: str) -> None:
    """Write all outputs to a file, or each to its own in a directory. Raises OutputsUnwritten where that fails."""
    faults: dict[str, HostError] = {}
    if os.path.isdir(path):
        for name, data in outputs.values.items():
            if fault := _try_write(os.path.join(path, name), data):
                faults[name] = fault
    elif fault := _try_write(path, as_yaml(outputs).encode()):
        faults = dict.fromkeys(outputs.values, fault)
    if faults:
        raise OutputsUnwritten(next(iter(faults.values())), {name: outputs.values[name] for name in faults})


def _try_write(path: str, data: bytes) -> HostError | None:
    """Write a file, and return the error where that fails."""
    try:
        named_files.write(path, data)
    except OSError as error:
        return _unwritable(path, error.strerror)
    return None


def _unwritable(path: str, reason: str | None) -> HostError:
    return HostError(
        f"the outputs cannot be written to {path} ({reason}): name a file or a directory that you may write"
    )
