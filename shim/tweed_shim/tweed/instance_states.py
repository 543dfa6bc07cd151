"""The recorded state of instances, for lists and for the removal of images."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress

from tweed_shim.base import files
from tweed_shim.base.lean.typing import Any
from tweed_shim.base.records import Record
from tweed_shim.errors import DamagedRecord
from tweed_shim.host import userns
from tweed_shim.tweed import clouds, command_lines, instance_errors, instances
from tweed_shim.tweed.instances import BINDING, DEPROVISIONING, FAILED, LOCK, PROVISIONING, Instance

# The states in which an image is at work, with what each counts as when nobody is.
_AT_WORK = {PROVISIONING: FAILED, DEPROVISIONING: FAILED, BINDING: FAILED}


class BindingState(Record):
    """A binding: its name, its state (`binding`, `ready` or `failed`), and when it was made."""

    name: str
    state: str
    time: str


class InstanceState(Record):
    """An instance; `instances --json` prints these fields.

    state: `provisioning`, `ready`, `failed` or `deprovisioning`; `failed` also where an operation was interrupted, and
    "" where the record is damaged. image, digest: the pattern's. cloud: "" without a backend. time: of the provision.
    bindings: those that are recorded.
    """

    name: str
    state: str
    image: str
    digest: str
    cloud: str
    time: str
    bindings: tuple[BindingState, ...]


def states(root: str, warn: Callable[[str], None] = lambda _: None) -> list[InstanceState]:
    """Return the instances of a store, sorted by name. warn: is called with a sentence for each damaged record."""
    result = []
    for instance in _all(root):
        state = _state(instance, warn)
        if state is not None:
            result.append(state)
    return result


def state(instance: Instance, warn: Callable[[str], None] = lambda _: None) -> InstanceState:
    """Return the state of an instance. Raises StateError where there is no such instance."""
    found = _state(instance, warn)
    if found is None:
        raise instance_errors.unknown(instance.name)
    return found


def _state(instance: Instance, warn: Callable[[str], None]) -> InstanceState | None:
    record: dict[str, Any] = {}
    try:
        present = instances.read(instance)
        if present is None:
            return None
        record = present
    except DamagedRecord as damage:
        warn(str(damage))
    image, digest, cloud, time = (record.get(key, "") for key in ("image", "digest", "cloud", "time"))
    now = _now(record.get("state", ""), instance.directory)
    return InstanceState(instance.name, now, image, digest, cloud, time, tuple(_bindings(instance, warn)))


def _now(recorded: str, directory: str) -> str:
    """Return the state of an instance or a binding: an operation whose lock is free was interrupted."""
    if recorded in _AT_WORK and not instances.is_busy(directory):
        return _AT_WORK[recorded]
    return recorded


def _bindings(instance: Instance, warn: Callable[[str], None]) -> Iterator[BindingState]:
    for name in _listed(os.path.join(instance.directory, instances.BINDINGS)):
        try:
            record = instances.read_binding(instance, name)
        except DamagedRecord as damage:
            warn(str(damage))
            yield BindingState(name, "", "")
            continue
        if record is not None:
            yield BindingState(name, _now(record["state"], instance.binding(name)), record["time"])


def _all(root: str) -> list[Instance]:
    """Return the instances of a store by name, and what a crash left of some."""
    ids = userns.IdMap("host")
    return [Instance(root, name, ids) for name in _listed(os.path.join(root, "instances"))]


def _listed(directory: str) -> list[str]:
    """Return the names of the directories in a directory that can be those of instances, or of bindings."""
    try:
        entries = list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(
        entry.name for entry in entries if clouds.is_name(entry.name) and entry.is_dir(follow_symlinks=False)
    )


def in_cloud(root: str, cloud: str) -> list[str]:
    """Return the names of the instances in a cloud. Raises DamagedRecord."""
    return [
        instance.name
        for instance in _all(root)
        if (record := instances.read(instance)) is not None and record["cloud"] == cloud
    ]


def image_users(root: str) -> dict[str, list[tuple[str, str]]]:
    """Return the users of each image, as `cloud_states.image_users` does: its digest, with the instances that it made.

    Raises DamagedRecord.
    """
    users: dict[str, list[tuple[str, str]]] = {}
    for instance in _all(root):
        record = instances.read(instance)
        if record is not None:
            user = (f"instance '{instance.name}'", command_lines.deprovision(record["image"], instance.name))
            users.setdefault(record["digest"], []).append(user)
    return users


def leftovers(root: str) -> Iterator[str]:
    """Yield the directories of instances that have no record, and that no operation uses.

    Each stays locked until the caller asks for the next one. Until then the caller has to rename it away.
    """

    def busy() -> None:
        raise BlockingIOError

    for instance in _all(root):
        if os.path.lexists(os.path.join(instance.directory, instances.RECORD)):
            continue
        with (
            suppress(BlockingIOError),
            files.locked(os.path.join(instance.directory, LOCK), waiting=busy),
        ):
            if not os.path.lexists(os.path.join(instance.directory, instances.RECORD)):
                yield instance.directory
