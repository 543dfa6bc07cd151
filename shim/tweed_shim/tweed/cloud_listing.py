"""The clouds of a store and their interactions by name, for lists, removal and garbage collection."""

import os
from collections.abc import Iterator
from contextlib import suppress

from tweed_shim.base import files
from tweed_shim.tweed import clouds, drafts


def set_up_in(directory: str) -> tuple[str, ...]:
    """Return the names of the interactions that are set up in a cloud, given the cloud's directory."""
    try:
        names = os.listdir(os.path.join(directory, "interactions"))
    except FileNotFoundError:
        return ()
    return tuple(name for name in sorted(names) if _is_needed(os.path.join(directory, "interactions", name)))


def interrupted_in(directory: str) -> tuple[str, ...]:
    """Return the names of the interactions of a cloud whose setup was interrupted and that are not set up."""
    return tuple(
        os.path.basename(slot)
        for slot in slots(directory)
        if clouds.is_interaction(slot) and not _is_needed(slot) and clouds.interrupted(slot) is not None
    )


def _is_needed(slot: str) -> bool:
    """Tell whether a generation of a slot is in force, or is set up without being in force yet."""
    return os.path.lexists(os.path.join(slot, clouds.CURRENT)) or (
        clouds.is_interaction(slot) and drafts.unfinished(slot) is not None
    )


def _has_state(slot: str) -> bool:
    """Tell whether a slot holds what `gc` must not remove."""
    return _is_needed(slot) or (
        clouds.is_interaction(slot)
        and (clouds.interrupted(slot) is not None or bool(drafts.started_drafts(slot)))
    )


def directories(root: str) -> list[str]:
    """Return the directories of the clouds of a store, by name."""
    try:
        names = sorted(os.listdir(os.path.join(root, "clouds")))
    except FileNotFoundError:
        return []
    return [os.path.join(root, "clouds", name) for name in names]


def slots(directory: str) -> list[str]:
    """Return the slots of a cloud's configuration and of each of its interactions."""
    paths = [os.path.join(directory, "config")]
    with suppress(FileNotFoundError):
        interactions = os.path.join(directory, "interactions")
        paths += [os.path.join(interactions, name) for name in sorted(os.listdir(interactions))]
    return [path for path in paths if os.path.isdir(path)]


def leftovers(root: str) -> Iterator[str]:
    """Yield the paths of what crashes and failed operations left in the clouds that are not in use.

    The cloud stays locked until the caller asks for the next path. Until then the caller has to rename the path away.
    """

    def busy() -> None:
        raise BlockingIOError

    for directory in directories(root):
        with suppress(BlockingIOError), files.locked(os.path.join(directory, clouds.LOCK), waiting=busy):
            yield from _leftovers(directory)


def _leftovers(directory: str) -> Iterator[str]:
    paths = slots(directory)
    needed = [slot for slot in paths if _has_state(slot)]
    if not needed:
        yield directory
        return
    for slot in paths:
        if slot in needed:
            started = drafts.started_drafts(slot) if clouds.is_interaction(slot) else []
            yield from (entry.path for entry in clouds.beside_current(slot) if entry.path not in started)
        else:
            yield slot
