"""What an executor has left in /toi/outputs: collected, named as the package wants it, and handed out."""

import base64
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from tweed_shim import documents, files, spiff
from tweed_shim.errors import ConfigError, ContractError, HostError
from tweed_shim.idmap import IdMap, run_mapped
from tweed_shim.records import Record

LIMIT = 64 << 20


class Outputs(Record):
    """The outputs of an action by their names. missing: the files that are mapped to an output and were not written."""

    values: Mapping[str, bytes]
    missing: tuple[str, ...] = ()


def collect(directory: str, ids: IdMap, names: Mapping[str, str], *, every: bool, whose: str) -> Outputs:
    """The files that an executor wrote; what is no plain file is passed over.

    names: of outputs, by the names of files. every: keep files without one under their own name. Raises ContractError
    for more than 64 MiB.
    """
    _open_up(directory, ids)
    values: dict[str, bytes] = {}
    room = LIMIT
    own = [name for name in sorted(os.listdir(directory)) if every and name not in names]
    for name, output in [*names.items(), *((name, name) for name in own)]:
        data = _read(os.path.join(directory, name), room)
        if data is None:
            continue
        if len(data) > room:
            raise ContractError(
                f"{whose} wrote outputs of more than {LIMIT >> 20} MiB: its author has to make them smaller"
            )
        room -= len(data)
        # A name that the package gives is worth more than one that the executor chose.
        values.setdefault(output, data)
    return Outputs(values, tuple(name for name, output in names.items() if output not in values))


def _open_up(directory: str, ids: IdMap) -> None:
    """Have the files read by whoever runs the shim, whichever of its ids they belong to."""
    if ids.kind == "host" or (os.stat(directory).st_uid == os.geteuid() and not any(_closed(directory))):
        return
    for command in (["chown", "-RhP", "0:0"], ["chmod", "-R", "u+rX"]):
        code, output = run_mapped(ids, [*command, "--", directory])
        if code:
            said = output.decode(errors="replace").strip().partition("\n")[0]
            raise HostError(f"the outputs of the executor cannot be had ({said}): mend that and run it again")


def _closed(directory: str) -> Iterator[bool]:
    for entry in os.scandir(directory):
        yield not os.access(entry.path, os.R_OK, follow_symlinks=False)


def _read(path: str, most: int) -> bytes | None:
    """The content of a plain file, up to a byte more than that; None for anything else."""
    # Whoever wrote it may have made it a link, or a pipe that nobody writes.
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                return file.read(most + 1)
    return None


def document(outputs: Outputs) -> str:
    """All outputs as one YAML document: those that are YAML or JSON as what they say, others as `binary: BASE64`."""
    return spiff.dump({"outputs": {name: _value(data) for name, data in outputs.values.items()}})


def _value(data: bytes) -> Any:
    try:
        return documents.load(data, name="the output").value
    except ConfigError:
        return {"binary": base64.b64encode(data).decode()}


def write(outputs: Outputs, path: str) -> None:
    """Write all outputs to a file, or each to one of its own in a directory. Raises HostError where that fails."""
    try:
        if os.path.isdir(path):
            for name, data in outputs.values.items():
                files.write_named(os.path.join(path, name), data)
        else:
            files.write_named(path, document(outputs).encode())
    except OSError as error:
        raise HostError(
            f"the outputs cannot be written to {path} ({error.strerror}): name a file or a directory that you may write"
        ) from error
