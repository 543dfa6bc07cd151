"""The state of a cloud: its configuration, and the interactions that are set up. Plain files, one rename a change.

    clouds/NAME/lock                      shared by every operation, exclusive for removal
    clouds/NAME/config/N/                 a generation: data/ is what the image sees, record.json describes it
    clouds/NAME/config/current -> N       the generation in force
    clouds/NAME/interactions/ID/...       the same, for what the setup of an interaction wrote

`config` and each `interactions/ID` is a slot: a directory of numbered generations with a lock of its own. The shim
makes a generation beside the others as a draft (drafts.py), syncs it, and puts it in force by the rename of one link.
A crash before the rename leaves the old generation in force. The next change finishes the draft where the image of an
interaction had succeeded, keeps it as `interrupted` where the image had written something, and else removes it
(recovery.py).

Every warm operation imports this module. What only lists, removal and garbage collection need is in cloud_listing.py.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from tweed_shim.base import files, state_files
from tweed_shim.base.lean.typing import Any
from tweed_shim.base.option_names import option
from tweed_shim.base.records import Record
from tweed_shim.base.text import ALPHANUMERIC, made_of
from tweed_shim.errors import ConfigError, DamagedRecord, HostError
from tweed_shim.host import owned_trees, userns
from tweed_shim.image.reference import is_digest
from tweed_shim.tweed import drafts
from tweed_shim.tweed.drafts import Draft

CURRENT = drafts.CURRENT
LOCK = "lock"
SHAPE = {
    "image": state_files.text,
    "digest": is_digest,
    "time": state_files.text,
    "environment": state_files.optional(state_files.texts),
    # Of an interaction that belongs to an instance of a pattern: see chain.py.
    **dict.fromkeys(("instance", "operation", "binding"), state_files.optional(state_files.text)),
}


class Generation(Record):
    """A generation in force. directory: its path. record: the content of its record.json."""

    directory: str
    record: dict[str, Any]

    @property
    def data(self) -> str:
        """The directory that an image wrote."""
        return os.path.join(self.directory, "data")


class Cloud(Record):
    """A cloud of a store. warn: is called with a sentence when the cloud is locked, or a setup was interrupted."""

    root: str
    name: str
    ids: userns.IdMap
    warn: Callable[[str], None] = lambda _: None

    @property
    def directory(self) -> str:
        """The directory of the cloud's state."""
        return os.path.join(self.root, "clouds", self.name)

    def slot(self, kind: str, interaction: str) -> str:
        """Return the path of the slot of the cloud's configuration, or of an interaction.

        kind: `cloud` or `interaction`, as in the table of the contract. Raises ConfigError for an invalid name.
        """
        if kind == "cloud":
            return os.path.join(self.directory, "config")
        return os.path.join(self.directory, "interactions", check_name("an interaction", interaction))


def is_name(name: object) -> bool:
    """Tell whether a value can be the name of a cloud, an interaction, an instance or a binding."""
    return (
        isinstance(name, str)
        and made_of(ALPHANUMERIC + "._-", name)
        and name[0] not in "._-"
        and len(name) <= 128
    )


def check_name(kind: str, name: str) -> str:
    """Return the name of a cloud or an interaction unchanged. Raises ConfigError for an invalid name."""
    if not is_name(name):
        raise ConfigError(
            f"{name!r} cannot name {kind}: use letters, digits, '.', '_' and '-', at most 128, "
            "beginning with a letter or a digit"
        )
    return name


def current(slot: str, *, replacing: bool = False) -> Generation | None:
    """Return the generation in force in a slot, or None.

    replacing: the caller is about to replace it, so a damaged record does not matter: it is returned as empty. Without
    `replacing` a damaged record raises DamagedRecord.
    """
    generation, damage = examine(slot)
    if damage is not None and not replacing:
        raise damage
    return generation


def examine(slot: str) -> tuple[Generation | None, DamagedRecord | None]:
    """Return the generation in force in a slot, and the error where its record is damaged; the record is empty then."""
    link, before = os.path.join(slot, CURRENT), ""
    while True:
        directory = slot
        try:
            directory = os.path.join(slot, os.readlink(link))
            record = state_files.read(f"{directory}/record.json", SHAPE, mend=_remedy(slot))
            return Generation(directory, record), None
        except (FileNotFoundError, NotADirectoryError):
            if not os.path.lexists(link):
                return None, None
            if directory != before:
                before = directory
                continue  # replaced, and removed, since its link was read
            damage = state_files.damaged(link, "what it leads to is not there", _remedy(slot))
        except DamagedRecord as error:
            damage = error
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            damage = state_files.damaged(link, "it is no symbolic link", _remedy(slot))
        return Generation(directory, {}), damage


def _remedy(slot: str) -> str:
    """Return what an operator can do about a damaged record in a slot."""
    directory, name = os.path.split(slot)
    if os.path.basename(directory) == "interactions":
        cloud = os.path.basename(os.path.dirname(directory))
        return (
            f"restore it from a backup, or give interaction '{name}' of cloud '{cloud}' up with: "
            f"tweed-shim clouds forget {cloud} {name}"
        )
    return (
        f"restore it from a backup, or configure cloud '{os.path.basename(directory)}' again with "
        f"{option('--replace')}"
    )


def set_up(slot: str, *, replacing: bool = False) -> Generation | None:
    """Return the generation of an interaction that is set up, or None. replacing: see `current`.

    A generation whose image has succeeded but that is not in force yet comes first: it is the one that the backend
    knows.
    """
    # A commit that ends at this moment renames the draft; the next round finds it in force.
    while True:
        directory = drafts.unfinished(slot)
        if directory is None:
            return current(slot, replacing=replacing)
        if (record := drafts.read_record(directory)) is not None:
            return Generation(directory, record)


def interrupted(slot: str) -> Generation | None:
    """Return the generation that an interrupted setup left, or None where there is none, or its record is damaged."""
    directory = os.path.join(slot, drafts.INTERRUPTED)
    if not os.path.isdir(directory) and (started := drafts.started_drafts(slot)):
        with suppress(FileNotFoundError), files.held_file(os.path.join(slot, LOCK)) as is_free:
            # The lock is free, so the setup no longer runs: it was interrupted, and no operation has come since.
            directory = started[-1] if is_free else directory
    record = drafts.read_started(directory)
    return None if record is None else Generation(directory, record)


@contextmanager
def held_current(slot: str) -> Iterator[Generation | None]:
    """Yield the generation in force, or None. Nothing can remove it within the block."""
    while True:
        generation = current(slot)
        if generation is None:
            yield None
            return
        with ExitStack() as stack:
            try:
                stack.enter_context(files.held_directory(generation.directory))
            except FileNotFoundError:
                continue  # replaced, and removed, since its link was read
            if os.path.exists(generation.directory):
                yield generation
                return


@contextmanager
def used(cloud: Cloud) -> Iterator[None]:
    """Keep a cloud from removal for the length of a block."""
    note = f"waiting for the removal of cloud '{cloud.name}' to end"
    with files.locked(os.path.join(cloud.directory, LOCK), shared=True, waiting=lambda: cloud.warn(note)):
        yield


@contextmanager
def changing(cloud: Cloud, slot: str) -> Iterator[None]:
    """Lock a slot for the length of a block, and first recover from an interrupted change of it."""

    def waiting() -> None:
        cloud.warn(_wait_note(cloud, slot))

    with files.locked(os.path.join(slot, LOCK), waiting=waiting), tidied(cloud, slot):
        yield


@contextmanager
def tidied(cloud: Cloud, slot: str) -> Iterator[None]:
    """Recover a slot that the caller has locked, and remove the slot at the end of the block if it is empty then.

    `cloud.warn` takes a sentence about each setup that was interrupted.
    """
    if is_interaction(slot) and (entries := _others(slot)):
        from tweed_shim.tweed import recovery

        recovery.recover(slot, entries, cloud.warn)
    _sweep(cloud, slot)
    try:
        yield
    finally:
        _remove_if_unused(slot)


def users_of(cloud: Cloud, interaction: str = "") -> str:
    """Return the runs that use a cloud, or an interaction of it, as text for a message."""
    from tweed_shim.runtime import runs

    return " and ".join(runs.going_on(cloud.root, cloud=cloud.name, interaction=interaction))


def _wait_note(cloud: Cloud, slot: str) -> str:
    interaction = os.path.basename(slot) if is_interaction(slot) else ""
    who = users_of(cloud, interaction) or "another operation"
    return f"waiting for {who} on cloud '{cloud.name}' to end"


def _remove_if_unused(slot: str) -> None:
    """Remove a slot that holds nothing but the lock, which the caller holds."""
    with suppress(OSError):
        if os.listdir(slot) == [LOCK]:
            # A process that waits for this lock sees that the file is gone, and creates a new one.
            os.unlink(os.path.join(slot, LOCK))
            os.rmdir(slot)


@contextmanager
def draft(cloud: Cloud, slot: str, record: Mapping[str, Any]) -> Iterator[Draft]:
    """Make a draft of a new generation in a slot that the caller has locked.

    record: what is known before the image starts. The draft of an interaction survives a failing block once it is
    marked as a success, because the backend then holds what the image made. Where the image was killed, what it wrote
    is kept as after a kill of the shim. The draft of a configuration does not survive: the former one stays in force.
    """
    new = Draft(cloud.ids, slot, record)
    try:
        yield new
    except BaseException as error:
        if not is_interaction(slot):
            new.withdraw()
        elif not new.marked or not isinstance(error, Exception):
            from tweed_shim.tweed import recovery

            recovery.keep_killed(slot, error, record if new.marked else None, cloud.warn)
        raise
    finally:
        new.close()


def commit(cloud: Cloud, slot: str, new: Draft) -> None:
    """Put a draft in force in a slot that the caller has locked. Raises OSError."""
    if not new.marked:
        new.mark()
    new.commit()
    _sweep(cloud, slot)


def is_interaction(slot: str) -> bool:
    """Tell whether a slot is an interaction's, and not that of a cloud's configuration."""
    return os.path.basename(os.path.dirname(slot)) == "interactions"


def forget(cloud: Cloud, slot: str) -> None:
    """Put no generation in force in a slot that the caller has locked, and remove its generations."""
    drafts.retire(slot)
    with suppress(FileNotFoundError):
        os.rename(os.path.join(slot, drafts.INTERRUPTED), os.path.join(slot, files.unique_name("old-")))
    _sweep(cloud, slot)


def _others(slot: str) -> list["os.DirEntry[str]"]:
    """Return the entries of a slot but for the generation in force, its links and the lock."""
    known, link = {CURRENT, LOCK, drafts.TORN_DOWN, drafts.INTERRUPTED}, os.path.join(slot, CURRENT)
    if os.path.lexists(link):
        try:
            known.add(os.readlink(link))
        except FileNotFoundError:
            pass
        except OSError:
            return []  # damaged: any of the entries may be the generation in force
        if not os.path.exists(link):
            return []  # damaged likewise
    return [entry for entry in os.scandir(slot) if entry.name not in known]


def beside_current(slot: str) -> list["os.DirEntry[str]"]:
    """Return the entries of a slot that are neither in force nor a success that is not in force yet."""
    others = _others(slot)
    new = drafts.unfinished(slot) if others and is_interaction(slot) else None
    return [entry for entry in others if entry.path != new]


def _sweep(cloud: Cloud, slot: str) -> None:
    """Remove from a slot all but the generation in force and those that a process still uses.

    What cannot be removed does not change what is in force: it is left for the next change.
    """
    for entry in beside_current(slot):
        with suppress(OSError, HostError):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
                continue
            with files.held_directory(entry.path, shared=False, wait=False) as unused:
                if unused:
                    owned_trees.remove_tree(cloud.ids, entry.path)
    if os.path.lexists(os.path.join(slot, CURRENT)) or not any(beside_current(slot)):
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(slot, drafts.TORN_DOWN))


def environment(cloud: Cloud, interaction: str) -> dict[str, str]:
    """Return the environment of an interaction. Raises StateError where it is not set up, or has none on record."""
    generation = set_up(cloud.slot("interaction", interaction))
    recorded: dict[str, str] | None = None if generation is None else generation.record.get("environment")
    if recorded is None:
        from tweed_shim.tweed import cloud_errors

        if generation is None:
            raise cloud_errors.not_set_up(cloud.directory, interaction)
        raise cloud_errors.no_environment(cloud.name, interaction, generation.record)
    return recorded
