"""What is kept of a cloud: its configuration, and the interactions that are set up. Plain files, one rename a change.

    clouds/NAME/lock                      shared by every operation, alone by removal
    clouds/NAME/config/N/                 a generation: data/ is what the image sees, record.json is about it
    clouds/NAME/config/current -> N       the generation in force
    clouds/NAME/interactions/ID/...       the same, for what the setup of an interaction wrote

A generation is made beside the others as a draft (drafts.py), synced, and comes into force by the rename of one link. A
crash before that leaves the old one in force, and a directory that the next change sweeps: but for an interaction whose
image had succeeded, which the next change finishes.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from tweed_shim import files, idmap, state_files
from tweed_shim.errors import ConfigError, DamagedRecord, HostError, StateError
from tweed_shim.image.reference import is_digest
from tweed_shim.lean.typing import Any
from tweed_shim.letters import ALPHANUMERIC, made_of
from tweed_shim.option_names import option
from tweed_shim.records import Record
from tweed_shim.tweed import drafts
from tweed_shim.tweed.drafts import Draft

CURRENT = drafts.CURRENT
LOCK = "lock"
SHAPE = {
    "image": state_files.text,
    "digest": is_digest,
    "time": state_files.text,
    "environment": state_files.optional(state_files.texts),
}


class Generation(Record):
    """A generation in force. directory: its path; data: what an image wrote; record: what was noted about it."""

    directory: str
    record: dict[str, Any]

    @property
    def data(self) -> str:
        """The directory that an image wrote."""
        return os.path.join(self.directory, "data")


class Cloud(Record):
    """A cloud of a store. waiting: called with a sentence when somebody else holds what is asked for."""

    root: str
    name: str
    ids: idmap.IdMap
    waiting: Callable[[str], None] = lambda _: None

    @property
    def directory(self) -> str:
        """Where the cloud's state is."""
        return os.path.join(self.root, "clouds", self.name)

    def place(self, kind: str, interaction: str) -> str:
        """Where the generations of the cloud's configuration, or of an interaction's output, are.

        Raises ConfigError where no interaction can be called that.
        """
        if kind == "cloud":
            return os.path.join(self.directory, "config")
        return os.path.join(self.directory, "interactions", check_name("an interaction", interaction))


def check_name(kind: str, name: str) -> str:
    """Return a name of a cloud or an interaction; raises ConfigError where it cannot be one."""
    if (
        not isinstance(name, str)
        or not made_of(ALPHANUMERIC + "._-", name)
        or name[0] in "._-"
        or len(name) > 128
    ):
        raise ConfigError(
            f"{name!r} cannot name {kind}: use letters, digits, '.', '_' and '-', at most 128, "
            "beginning with a letter or a digit"
        )
    return name


def current(place: str, *, replacing: bool = False) -> Generation | None:
    """The generation in force at a place, or None.

    replacing: the caller is about to put another in its place, and may do so where this one's record is damaged: the
    record is then empty. Raises DamagedRecord.
    """
    generation, damage = examine(place)
    if damage is not None and not replacing:
        raise damage
    return generation


def examine(place: str) -> tuple[Generation | None, DamagedRecord | None]:
    """The generation in force at a place, and what is wrong with it; its record is empty where something is."""
    link, before = os.path.join(place, CURRENT), ""
    while True:
        directory = place
        try:
            directory = os.path.join(place, os.readlink(link))
            record = state_files.read(f"{directory}/record.json", SHAPE, mend=_mend(place))
            return Generation(directory, record), None
        except (FileNotFoundError, NotADirectoryError):
            if not os.path.lexists(link):
                return None, None
            if directory != before:
                before = directory
                continue  # replaced, and removed, since its link was read
            damage = state_files.damaged(link, "what it leads to is not there", _mend(place))
        except DamagedRecord as found:
            damage = found
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            damage = state_files.damaged(link, "it is no symbolic link", _mend(place))
        return Generation(directory, {}), damage


def _mend(place: str) -> str:
    """What a person can do where the record at a place is damaged."""
    directory, name = os.path.split(place)
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


def set_up(place: str, *, replacing: bool = False) -> Generation | None:
    """Return the generation of an interaction that is set up, None where it is not. replacing: see `current`.

    One whose image has succeeded and that is not in force yet comes before the one in force: it is what there is in the
    backend.
    """
    # A commit that ends meanwhile takes the draft away; then it is in force.
    while True:
        directory = drafts.unfinished(place)
        if directory is None:
            return current(place, replacing=replacing)
        if (record := drafts.read_record(directory)) is not None:
            return Generation(directory, record)


def interrupted(place: str) -> Generation | None:
    """Return what is kept of a setup that was interrupted, None where nothing is, or the record of it is damaged."""
    directory = os.path.join(place, drafts.INTERRUPTED)
    if not os.path.isdir(directory) and (started := drafts.started_drafts(place)):
        with suppress(FileNotFoundError), files.held_file(os.path.join(place, LOCK)) as is_free:
            # Nobody is at work on it, so its setup was interrupted, and no operation has come since.
            directory = started[-1] if is_free else directory
    record = drafts.read_started(directory)
    return None if record is None else Generation(directory, record)


@contextmanager
def held_current(place: str) -> Iterator[Generation | None]:
    """The generation in force, which is kept from removal for as long as the block lasts."""
    while True:
        generation = current(place)
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
    """Keep a cloud from being removed for as long as the block lasts."""
    note = f"waiting for the removal of cloud '{cloud.name}' to end"
    with files.locked(os.path.join(cloud.directory, LOCK), shared=True, waiting=lambda: cloud.waiting(note)):
        yield


@contextmanager
def changing(cloud: Cloud, place: str) -> Iterator[None]:
    """Be the only one who changes a place for as long as the block lasts.

    What a kill left there is finished where its image had succeeded, and swept otherwise; `cloud.waiting` hears of it.
    """

    def waiting() -> None:
        cloud.waiting(_wait_note(cloud, place))

    with files.locked(os.path.join(place, LOCK), waiting=waiting), tidied(cloud, place):
        yield


@contextmanager
def tidied(cloud: Cloud, place: str) -> Iterator[None]:
    """Deal with what a kill left at a place that the caller holds alone, and remove it where it is empty afterwards."""
    if is_interaction(place):
        _recover(cloud, place)
    _sweep(cloud, place)
    try:
        yield
    finally:
        _remove_if_unused(place)


def users_of(cloud: Cloud, interaction: str = "") -> str:
    """Name the runs that use a cloud, or an interaction of it, for people."""
    from tweed_shim.runtime import runs

    return " and ".join(runs.going_on(cloud.root, cloud.name, interaction))


def _wait_note(cloud: Cloud, place: str) -> str:
    interaction = os.path.basename(place) if is_interaction(place) else ""
    who = users_of(cloud, interaction) or "another operation"
    return f"waiting for {who} on cloud '{cloud.name}' to end"


def _remove_if_unused(place: str) -> None:
    """Remove a place at which nothing is but the lock, which the caller holds alone."""
    with suppress(OSError):
        if os.listdir(place) == [LOCK]:
            # A process that waits for this lock notices that it is gone, and makes a new one.
            os.unlink(os.path.join(place, LOCK))
            os.rmdir(place)


def _recover(cloud: Cloud, place: str) -> None:
    """Finish a setup that a kill or a fault of the disk interrupted after its image had succeeded; name the others."""
    if not _others(place):
        return
    directory = drafts.unfinished(place)
    if directory is not None:
        _tell_interrupted(cloud, place, drafts.read_record(directory) or {})
        # Where the disk refuses it, it counts as set up all the same.
        with suppress(OSError):
            drafts.finish(place, directory)
    elif any(entry.name.startswith(drafts.PREFIX) for entry in _beside_current(place)):
        _tell_interrupted(cloud, place, None)
        # Where the disk refuses it, it is swept.
        with suppress(OSError):
            if drafts.keep_interrupted(place):
                cloud.waiting(
                    f"what it had written is kept in {os.path.join(place, drafts.INTERRUPTED)}; teardown of "
                    f"interaction '{os.path.basename(place)}' is given it where nothing else is set up under this name"
                )


def _tell_interrupted(cloud: Cloud, place: str, record: Mapping[str, Any] | None) -> None:
    """Warn of a setup that was interrupted. record: that of its success, None where its image did not come so far."""
    interaction = os.path.basename(place)
    name = f"interaction '{interaction}' of cloud '{cloud.name}'"
    if record is None:
        cloud.waiting(
            f"a setup of {name} was interrupted while its image ran: what that made in the backend, if anything, stays "
            "there, so look for it there"
        )
        return
    cloud.waiting(
        f"a setup of {name} was interrupted after {record.get('image')} had succeeded: it is set up, so tear it down "
        f"with: tweed-shim exec {record.get('image')} teardown --cloud {cloud.name} --interaction {interaction}"
    )


@contextmanager
def draft(cloud: Cloud, place: str, record: Mapping[str, Any]) -> Iterator[Draft]:
    """Make a new generation at a place that the caller is changing.

    record: what is known of it before the image starts. The draft of an interaction survives the block once it is
    marked as a success. That of a configuration has to be committed: the former one is in force until then, and the
    backend knows of neither.
    """
    new = Draft(cloud.ids, place, record)
    try:
        yield new
    except BaseException as error:
        if not is_interaction(place):
            new.withdraw()
        elif not isinstance(error, Exception):
            _tell_interrupted(cloud, place, record if new.marked else None)
        raise
    finally:
        new.close()


def commit(cloud: Cloud, place: str, new: Draft) -> None:
    """Put a draft in force at a place that the caller is changing. Raises OSError."""
    if not new.marked:
        new.mark()
    new.commit()
    _sweep(cloud, place)


def is_interaction(place: str) -> bool:
    """Tell whether a place is that of an interaction, and not that of a cloud's configuration."""
    return os.path.basename(os.path.dirname(place)) == "interactions"


def forget(cloud: Cloud, place: str) -> None:
    """Let no generation be in force at a place that the caller is changing, and remove what is there."""
    drafts.retire(place)
    with suppress(FileNotFoundError):
        os.rename(os.path.join(place, drafts.INTERRUPTED), os.path.join(place, files.unique_name("old-")))
    _sweep(cloud, place)


def _others(place: str) -> list["os.DirEntry[str]"]:
    """Return all that is at a place besides the generation in force, its links and the lock."""
    keep, link = {CURRENT, LOCK, drafts.TORN_DOWN, drafts.INTERRUPTED}, os.path.join(place, CURRENT)
    if os.path.lexists(link):
        try:
            keep.add(os.readlink(link))
        except FileNotFoundError:
            pass
        except OSError:
            return []  # damaged: nobody can tell what is in force, so nothing is beside it
        if not os.path.exists(link):
            return []  # likewise
    return [entry for entry in os.scandir(place) if entry.name not in keep]


def _beside_current(place: str) -> list["os.DirEntry[str]"]:
    """Return all that is at a place and is neither in force nor a success that is not in force yet."""
    others = _others(place)
    new = drafts.unfinished(place) if others and is_interaction(place) else None
    return [entry for entry in others if entry.path != new]


def _sweep(cloud: Cloud, place: str) -> None:
    """Remove all at a place but the generation in force and those that somebody still uses.

    What cannot be removed changes nothing about what is in force: it is left for another time.
    """
    for entry in _beside_current(place):
        with suppress(OSError, HostError):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
                continue
            with files.held_directory(entry.path, shared=False, wait=False) as unused:
                if unused:
                    idmap.remove_tree(cloud.ids, entry.path)
    if os.path.lexists(os.path.join(place, CURRENT)) or not any(_beside_current(place)):
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(place, drafts.TORN_DOWN))


def environment(cloud: Cloud, interaction: str) -> dict[str, str]:
    """Return the environment of an interaction. Raises StateError where it is not set up, or has none on record."""
    generation = set_up(cloud.place("interaction", interaction))
    if generation is None:
        raise not_set_up(cloud, interaction)
    recorded: dict[str, str] | None = generation.record.get("environment")
    if recorded is None:
        raise StateError(
            f"the environment of interaction '{interaction}' of cloud '{cloud.name}' is not on record; tear the "
            f"interaction down with {generation.record.get('image')} and set it up again"
        )
    return recorded


def set_up_in(directory: str) -> tuple[str, ...]:
    """Return the names of the interactions that are set up in a cloud, given the cloud's directory."""
    try:
        names = os.listdir(os.path.join(directory, "interactions"))
    except FileNotFoundError:
        return ()
    return tuple(name for name in sorted(names) if _is_needed(os.path.join(directory, "interactions", name)))


def interrupted_in(directory: str) -> tuple[str, ...]:
    """Return the names under which nothing is set up and something is kept of a setup that was interrupted."""
    return tuple(
        os.path.basename(place)
        for place in places(directory)
        if is_interaction(place) and not _is_needed(place) and interrupted(place) is not None
    )


def _is_needed(place: str) -> bool:
    """Return whether something is in force at a place, or is set up without being in force yet."""
    return os.path.lexists(os.path.join(place, CURRENT)) or (
        is_interaction(place) and drafts.unfinished(place) is not None
    )


def _is_kept(place: str) -> bool:
    """Return whether nothing at a place may be removed by `gc`."""
    return _is_needed(place) or (
        is_interaction(place) and (interrupted(place) is not None or bool(drafts.started_drafts(place)))
    )


def directories(root: str) -> list[str]:
    """Return the directories of the clouds of a store, by name."""
    try:
        names = sorted(os.listdir(os.path.join(root, "clouds")))
    except FileNotFoundError:
        return []
    return [os.path.join(root, "clouds", name) for name in names]


def places(directory: str) -> list[str]:
    """Where the generations of a cloud and of each of its interactions are, or were."""
    places = [os.path.join(directory, "config")]
    with suppress(FileNotFoundError):
        interactions = os.path.join(directory, "interactions")
        places += [os.path.join(interactions, name) for name in sorted(os.listdir(interactions))]
    return [place for place in places if os.path.isdir(place)]


def leftovers(root: str) -> Iterator[str]:
    """The paths of what crashes and failed operations left in the clouds that nobody uses at the moment.

    Nobody comes to use a cloud until the next path is asked for. What is yielded must be moved away in one step.
    """

    def busy() -> None:
        raise BlockingIOError

    for directory in directories(root):
        with suppress(BlockingIOError), files.locked(os.path.join(directory, LOCK), waiting=busy):
            yield from _leftovers(directory)


def _leftovers(directory: str) -> Iterator[str]:
    every = places(directory)
    needed = [place for place in every if _is_kept(place)]
    if not needed:
        yield directory
        return
    for place in every:
        if place in needed:
            kept = drafts.started_drafts(place) if is_interaction(place) else []
            yield from (entry.path for entry in _beside_current(place) if entry.path not in kept)
        else:
            yield place


def not_set_up(cloud: Cloud, interaction: str) -> StateError:
    """Return the error for an interaction that is needed and not set up."""
    if not os.path.isdir(cloud.directory):
        return StateError(
            f"interaction '{interaction}' of cloud '{cloud.name}' is not set up: there is no cloud '{cloud.name}'; "
            "'tweed-shim clouds' lists those there are"
        )
    return StateError(
        f"interaction '{interaction}' of cloud '{cloud.name}' is not set up; 'tweed-shim clouds' lists those that are"
    )
