"""The state of instances: what a pattern provisioned, and its bindings. Plain files, one rename a change.

    instances/ID/lock               exclusive for provision and deprovision, shared by bind and unbind
    instances/ID/record.json        the instance: its image, its cloud, its state
    instances/ID/inputs.json        the object that provision was given and deprovision is given again
    instances/ID/credstore/         what the image keeps from one operation to the next
    instances/ID/outputs/           what provision left for people
    instances/ID/bindings/B/lock, record.json      a binding: its state and the credentials

An instance exists as soon as its record does, which is written before the image starts. What the image writes to
`credstore` is on the disk while it runs. A state such as `provisioning` in a record whose lock is free was left by an
operation that was interrupted: the instance counts as failed.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from tweed_shim.base import files, state_files
from tweed_shim.base.lean import json
from tweed_shim.base.lean.typing import Any
from tweed_shim.base.records import Record
from tweed_shim.errors import ShimError
from tweed_shim.host import owned_trees, userns, workdirs
from tweed_shim.image.reference import is_digest
from tweed_shim.tweed.clouds import check_name

PROVISIONING, READY, FAILED, DEPROVISIONING = "provisioning", "ready", "failed", "deprovisioning"
BINDING = "binding"
LOCK, RECORD, INPUTS = "lock", "record.json", "inputs.json"
CREDSTORE, OUTPUTS, BINDINGS = "credstore", "outputs", "bindings"
# A file that holds disk space for the record of the end, while an image runs.
RESERVE = "reserve"
# Bytes. Larger credentials need free space on the disk after the image has ended.
RESERVED = 256 << 10


def _is_map(value: object) -> bool:
    return isinstance(value, dict)


def _are_files(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, dict) and isinstance(each.get("filename"), str) for each in value
    )


INSTANCE_SHAPE = {
    **dict.fromkeys(("state", "image", "cloud", "time"), state_files.text),
    "digest": is_digest,
    "backend": state_files.optional(state_files.text),
    "files": state_files.optional(_are_files),
}
BINDING_SHAPE = {
    **dict.fromkeys(("state", "time"), state_files.text),
    "credentials": state_files.optional(_is_map),
}


class Instance(Record):
    """An instance of a store, whether it exists or not. warn: is called with a sentence when it is locked."""

    root: str
    name: str
    ids: userns.IdMap
    warn: Callable[[str], None] = lambda _: None

    @property
    def directory(self) -> str:
        """The directory of its state."""
        return os.path.join(self.root, "instances", self.name)

    @property
    def credstore(self) -> str:
        """The directory that its image sees as $CREDSTORE."""
        return os.path.join(self.directory, CREDSTORE)

    @property
    def outputs(self) -> str:
        """The directory that its image sees as $OUTPUTS."""
        return os.path.join(self.directory, OUTPUTS)

    def binding(self, name: str) -> str:
        """Return the directory of a binding. Raises ConfigError for an invalid name."""
        return os.path.join(self.directory, BINDINGS, check_name("a binding", name))


def at(root: str, name: str, ids: userns.IdMap, warn: Callable[[str], None] = lambda _: None) -> Instance:
    """Return the instance of a name. Raises ConfigError for an invalid name."""
    return Instance(root, check_name("an instance", name), ids, warn)


def read(instance: Instance) -> dict[str, Any] | None:
    """Return the record of an instance, or None where there is no such instance. Raises DamagedRecord."""
    remedy = (
        f"restore it from a backup, or give instance '{instance.name}' up with: "
        f"tweed-shim instances forget {instance.name}"
    )
    with suppress(FileNotFoundError):
        record = state_files.read(os.path.join(instance.directory, RECORD), INSTANCE_SHAPE, mend=remedy)
        _require_directory(instance.directory, remedy)
        for path in (instance.credstore, instance.outputs):
            try:
                _require_directory(path, remedy)
            except FileNotFoundError:
                if not os.path.lexists(os.path.join(instance.directory, RECORD)):
                    raise  # forgotten meanwhile
                # Else it would count as no instance, and the next provision would sweep what is there.
                raise state_files.damaged(path, "it is missing", remedy) from None
        with suppress(FileNotFoundError):
            _require_directory(os.path.join(instance.directory, BINDINGS), remedy)
        return record
    return None


def _require_directory(path: str, remedy: str) -> None:
    """Raise DamagedRecord for a link, or anything else that is no directory: an image would write elsewhere."""
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        raise state_files.damaged(path, "it is no directory", remedy)


def read_binding(instance: Instance, name: str) -> dict[str, Any] | None:
    """Return the record of a binding, or None where there is no such binding. Raises DamagedRecord."""
    directory = instance.binding(name)
    remedy = f"restore it from a backup, or remove {directory} and make a new binding"
    with suppress(FileNotFoundError):
        return state_files.read(os.path.join(directory, RECORD), BINDING_SHAPE, mend=remedy)
    return None


def inputs(instance: Instance) -> bytes:
    """Return the inputs of an instance as JSON. Raises DamagedRecord, and OSError."""
    path = os.path.join(instance.directory, INPUTS)
    remedy = (
        "write the inputs that provision was given into it, as one JSON object, or give instance "
        f"'{instance.name}' up with: tweed-shim instances forget {instance.name}"
    )
    try:
        state_files.read(path, {}, mend=remedy)
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise state_files.damaged(path, "it is missing", remedy) from None


@contextmanager
def locked(instance: Instance, *, shared: bool = False) -> Iterator[None]:
    """Lock an instance for the length of a block, and remove its directory at the end if there is no instance."""

    def waiting() -> None:
        instance.warn(
            f"waiting for {users_of(instance) or 'another operation'} on instance '{instance.name}' to end"
        )

    files.make_private(os.path.dirname(instance.directory), durable=True)
    path = os.path.join(instance.directory, LOCK)
    with files.locked(path, shared=shared, waiting=waiting) as lock:
        try:
            yield
        finally:
            # An instance that was forgotten took the lock with it, and another may be made under its name by now.
            if files.same_file(lock, path) and not os.path.lexists(os.path.join(instance.directory, RECORD)):
                if not shared:
                    sweep(instance)
                remove_if_unused(instance.directory)


@contextmanager
def binding_locked(instance: Instance, name: str) -> Iterator[None]:
    """Lock a binding for the length of a block, and remove its directory at the end if there is no binding."""
    directory = instance.binding(name)

    def waiting() -> None:
        instance.warn(
            f"waiting for another operation on binding '{name}' of instance '{instance.name}' to end"
        )

    with files.locked(os.path.join(directory, LOCK), waiting=waiting):
        try:
            yield
        finally:
            remove_if_unused(directory)


def remove_if_unused(directory: str) -> None:
    """Remove a directory that holds nothing but its lock, which the caller holds."""
    with suppress(OSError):
        if os.listdir(directory) == [LOCK]:
            # A process that waits for this lock sees that the file is gone, and creates a new one.
            os.unlink(os.path.join(directory, LOCK))
            os.rmdir(directory)


def users_of(instance: Instance) -> str:
    """Return the runs that use an instance, as text for a message."""
    from tweed_shim.runtime import runs

    return " and ".join(runs.going_on(instance.root, instance=instance.name))


def create(instance: Instance, encoded: bytes) -> None:
    """Make the directories and the inputs of an instance that has no record yet. The caller holds its lock.

    The write of the record makes their names durable: they are in the same directory.
    """
    sweep(instance)
    for path in (instance.credstore, instance.outputs):
        files.make_private(path)
    files.write_new(os.path.join(instance.directory, INPUTS), encoded)
    files.sync_directory(os.path.dirname(instance.directory))


def sweep(instance: Instance) -> None:
    """Remove what a crash left of an instance that has no record: no image was run for it yet."""
    for name in (CREDSTORE, OUTPUTS, BINDINGS):
        if os.path.lexists(path := os.path.join(instance.directory, name)):
            owned_trees.remove_tree(instance.ids, path)
    for name in (INPUTS, RESERVE):
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(instance.directory, name))


def write(directory: str, record: Mapping[str, Any]) -> None:
    """Write the record of an instance or of a binding, given its directory, in one durable step. Raises OSError."""
    files.write_whole(os.path.join(directory, RECORD), json.dumps(dict(record)).encode())


# What ends a change: the new record, or None where there is none any more.
Finish = Callable[[Mapping[str, Any] | None], None]


@contextmanager
def changing(
    directory: str,
    *,
    before: Mapping[str, Any] | None = None,
    started: Mapping[str, Any],
    failed: Mapping[str, Any],
) -> Iterator[Finish]:
    """Record that an image changes an instance or a binding, for the length of a block, given its directory.

    before: the record before the block, None where there is none; it is in force again where the image was never
    started. started: the record for the time of the block. failed: the record where the block ends otherwise without a
    call of what it is given, which writes the final record. A kill leaves `started`. Raises OSError.
    """
    files.make_private(directory, durable=True)
    reserve = os.path.join(directory, RESERVE)
    is_finished = False

    def release() -> None:
        with suppress(FileNotFoundError):
            os.unlink(reserve)

    def finish(record: Mapping[str, Any] | None) -> None:
        nonlocal is_finished
        if record is not None:
            release()
            write(directory, record)
        is_finished = True

    try:
        _reserve(reserve)
        write(directory, started)
        try:
            yield finish
        except BaseException as error:
            release()
            if not is_finished:
                after = before if isinstance(error, ShimError) and error.never_ran else failed
                # Where the disk refuses it, the record of an interrupted operation stays, which counts as failed.
                with suppress(OSError):
                    _restore(directory, after)
            raise
    finally:
        release()


def _restore(directory: str, record: Mapping[str, Any] | None) -> None:
    """Write a record, or remove it. Raises OSError."""
    if record is not None:
        write(directory, record)
    else:
        os.unlink(os.path.join(directory, RECORD))


def _reserve(path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, files.PRIVATE_FILE)
    try:
        files.reserve(fd, RESERVED)
    finally:
        os.close(fd)


def forget(instance: Instance) -> None:
    """Take an instance out of the store in one step. The caller holds its lock."""
    with workdirs.directory(workdirs.tmp_directory(instance.root), instance.ids) as work:
        os.rename(instance.directory, os.path.join(work, instance.name))
        files.sync_directory(os.path.dirname(instance.directory))


def forget_binding(instance: Instance, name: str) -> None:
    """Forget a binding in one step. The caller holds its lock, and removes the directory with it."""
    directory = instance.binding(name)
    os.unlink(os.path.join(directory, RECORD))
    files.sync_directory(directory)


def is_busy(directory: str) -> bool:
    """Tell whether an operation changes an instance or a binding now, given its directory."""
    with suppress(FileNotFoundError), files.held_file(os.path.join(directory, LOCK)) as is_free:
        return not is_free
    return False
