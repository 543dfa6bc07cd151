"""An instance as the store records it: look at its state, files and credentials, or forget it, without its image."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO

from tweed_shim.base import beneath
from tweed_shim.base.option_values import shown
from tweed_shim.base.records import Record
from tweed_shim.errors import DamagedRecord, StateError
from tweed_shim.host import owned_trees, tree_walk
from tweed_shim.tweed import instance_errors, instance_states, instances, unused
from tweed_shim.tweed.instance_states import InstanceState
from tweed_shim.tweed.instances import Instance

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class OutputFile(Record):
    """A file that provision left for people; `instances show --json` prints these fields.

    name: its path below $OUTPUTS. size: bytes, None where there is no plain file. note: why there is none, such as
    `missing` or `a symbolic link`; such files cannot be read. summary, description: what the image's metadata says of
    it.
    """

    name: str
    size: int | None
    note: str = ""
    summary: str = ""
    description: str = ""


class RecordedInstance:
    """An instance of a store; see `tweed_shim.Shim.instance`."""

    def __init__(self, instance: Instance, warn: Callable[[str], None]) -> None:
        self._instance = instance
        self._warn = warn

    def state(self) -> InstanceState:
        """Return its state. Raises StateError where there is no such instance."""
        return instance_states.state(self._instance, self._warn)

    def files(self) -> list[OutputFile]:
        """Return the files that provision left: those that the image's metadata names, then all others by name.

        Raises StateError where there is no such instance.
        """
        record = self._record()
        present = dict(_output_files(self._instance, record["state"]))
        named = {each["filename"]: each for each in record.get("files", [])}
        return [
            OutputFile(
                name,
                *present.get(name, (None, "missing")),
                summary=(named.get(name) or {}).get("summary") or "",
                description=(named.get(name) or {}).get("description") or "",
            )
            for name in (*named, *sorted(present.keys() - named.keys()))
        ]

    def open_file(self, name: str) -> BinaryIO:
        """Open a file that provision left, for reading bytes.

        Raises StateError where there is no such instance or file, or the image left something else under this name.
        """
        matches = [each for each in self.files() if each.name == name]
        if not matches:
            raise StateError(
                f"instance '{self._instance.name}' has no file {shown(name)}; 'tweed-shim instances files "
                f"{self._instance.name}' lists those it has"
            )
        if matches[0].size is None:
            raise StateError(
                f"the file {shown(name)} of instance '{self._instance.name}' cannot be read: it is {matches[0].note}; "
                "have the image leave a plain file"
            )
        return open(_opened(self._instance.outputs, name), "rb")

    def credentials(self, binding: str = "default") -> dict[str, Any]:
        """Return the credentials of a binding. Raises StateError where there is no such binding, or it has none."""
        record = self._record()
        recorded = instances.read_binding(self._instance, binding)
        if recorded is None:
            raise instance_errors.unknown_binding(self._instance.name, binding)
        if "credentials" not in recorded:
            raise instance_errors.no_credentials(self._instance.name, binding, record["image"])
        credentials: dict[str, Any] = recorded["credentials"]
        return credentials

    def forget(self) -> None:
        """Forget the instance without its image: what the image deployed stays where it is.

        The console's `warn` is called with a sentence about the loss before anything is removed. Raises StateError
        where there is no such instance, or an operation uses it.
        """
        instance = self._instance
        lock = os.path.join(instance.directory, instances.LOCK)
        with suppress(DamagedRecord):
            self._record()
        with unused.unused(lock, f"instance '{instance.name}'", lambda: instances.users_of(instance)):
            with suppress(DamagedRecord):
                self._record()
            self._warn(
                f"instance '{instance.name}' is given up: what its image deployed stays there, with all that has "
                "credentials for it, and no deprovision can remove it any more; remove it by hand"
            )
            instances.forget(instance)

    def _record(self) -> dict[str, Any]:
        record = instances.read(self._instance)
        if record is None:
            raise instance_errors.unknown(self._instance.name)
        return record


def _output_files(instance: Instance, state: str) -> Iterator[tuple[str, tuple[int | None, str]]]:
    """Yield what is in the outputs of an instance: its path, and its size, or what it is instead of a plain file."""
    is_changing = state == instances.PROVISIONING and instances.is_busy(instance.directory)
    try:
        entries = list(_below(instance.outputs))
    except OSError as error:
        if is_changing:
            # The image still writes them, perhaps as another user, and moves its directories.
            return
        if not isinstance(error, PermissionError):
            raise
        # They belong to the image's user, who may be another one, and are for people.
        owned_trees.take_over(instance.ids, instance.outputs)
        entries = list(_below(instance.outputs))
    for name, status in entries:
        note = _KINDS.get(stat.S_IFMT(status.st_mode), "")
        yield name, (None, note) if note else (status.st_size, "")


def _opened(directory: str, name: str) -> int:
    """Open a file by its path below a directory, however deep it is and never through a link. Raises OSError."""
    *parents, last = name.split("/")
    current = os.open(directory, tree_walk.OPEN)
    try:
        for parent in parents:
            inner = os.open(parent, tree_walk.OPEN, dir_fd=current)
            os.close(current)
            current = inner
        return beneath.open_file(f"/proc/self/fd/{current}", last)
    finally:
        os.close(current)


def _below(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the path and the status of all below a directory that is no directory itself.

    Raises PermissionError for a file that cannot be read, and OSError where the image changes a directory meanwhile.
    """
    way: list[str] = []
    top = os.open(directory, tree_walk.OPEN)
    try:
        for step, parent, name, status in tree_walk.walk(top):
            if step == tree_walk.ENTER:
                way.append(name)
            elif step == tree_walk.LEAVE:
                way.pop()
            else:
                is_file = stat.S_ISREG(status.st_mode)
                if is_file and not os.access(name, os.R_OK, dir_fd=parent, follow_symlinks=False):
                    raise PermissionError
                yield "/".join((*way, name)), status
    finally:
        os.close(top)
