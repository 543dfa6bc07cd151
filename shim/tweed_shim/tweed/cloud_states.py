"""The recorded state of clouds and interactions, for lists and for the removal of images."""

import os
from collections.abc import Callable
from contextlib import suppress

from tweed_shim.base import files
from tweed_shim.base.records import Record
from tweed_shim.tweed import cloud_listing, clouds, command_lines
from tweed_shim.tweed.clouds import Generation


class InteractionState(Record):
    """An interaction that is set up or was interrupted: its name, the image with its manifest digest, and when.

    All but the name is empty where the record is damaged. interrupted: a kill or a fault of the disk ended its setup,
    and it is unknown whether the image succeeded; teardown and `clouds forget` accept it. instance, operation: for
    which operation of which instance of a pattern it was set up; empty for an interaction of its own. left: that
    operation has ended, and the interaction was left behind.
    """

    name: str
    image: str
    digest: str
    time: str
    interrupted: bool = False
    instance: str = ""
    operation: str = ""
    left: bool = False


class CloudState(Record):
    """A cloud: its name, the image that it was configured for, when, and its interactions.

    interactions: the names of those that are set up. setups: the state of each, also of those that were interrupted.
    """

    name: str
    image: str
    configured: str
    interactions: tuple[str, ...]
    setups: tuple[InteractionState, ...] = ()


def states(root: str, warn: Callable[[str], None] = lambda _: None) -> list[CloudState]:
    """Return the clouds of a store, sorted by name. warn: is called with a sentence for each damaged record."""
    result = []
    for directory in cloud_listing.directories(root):
        configured: Generation | None = None
        setups = []
        names = cloud_listing.set_up_in(directory)
        for slot in cloud_listing.slots(directory):
            generation, damage = clouds.examine(slot)
            if damage is not None:
                warn(str(damage))
            if not clouds.is_interaction(slot):
                configured = generation
            elif os.path.basename(slot) in names:
                setups.append(_interaction(clouds.set_up(slot, replacing=True), slot))
            elif (generation := clouds.interrupted(slot)) is not None:
                setups.append(_interaction(generation, slot, interrupted=True))
        if configured is not None or setups:
            record = {} if configured is None else configured.record
            result.append(
                CloudState(
                    os.path.basename(directory),
                    record.get("image", ""),
                    record.get("time", ""),
                    names,
                    tuple(setups),
                )
            )
    return result


def _interaction(generation: Generation | None, slot: str, *, interrupted: bool = False) -> InteractionState:
    record = {} if generation is None else generation.record
    image, digest, time, instance, operation = (
        record.get(key) or "" for key in ("image", "digest", "time", "instance", "operation")
    )
    left = bool(instance) and not _is_busy(slot)
    return InteractionState(
        os.path.basename(slot), image, digest, time, interrupted, instance, operation, left
    )


def _is_busy(slot: str) -> bool:
    """Tell whether an operation, or a chain of them, works with an interaction now."""
    with suppress(FileNotFoundError), files.held_file(os.path.join(slot, clouds.LOCK)) as is_free:
        return not is_free
    return False


def left_behind(root: str) -> list[tuple[str, InteractionState]]:
    """Return the interactions that operations of patterns left behind, each with the name of its cloud."""
    return [(cloud.name, each) for cloud in states(root) for each in cloud.setups if each.left]


def left_behind_sentence(cloud: str, interaction: InteractionState) -> str:
    """Return the sentence about an interaction that an operation of a pattern left behind."""
    return (
        f"interaction '{interaction.name}' of cloud '{cloud}' was left behind by {interaction.operation} of instance "
        f"'{interaction.instance}'; tear it down with: "
        f"{command_lines.teardown(interaction.image, cloud, interaction.name)}"
    )


def image_users(root: str) -> dict[str, list[tuple[str, str]]]:
    """Return the users of each image: its manifest digest, with the clouds and interactions that it made.

    A user is a phrase for a message and the command that removes it. Interactions come before their cloud, in the order
    of removal. Raises DamagedRecord.
    """
    users: dict[str, list[tuple[str, str]]] = {}
    for directory in cloud_listing.directories(root):
        cloud = os.path.basename(directory)
        for slot in reversed(cloud_listing.slots(directory)):
            is_interaction = clouds.is_interaction(slot)
            generation = (
                clouds.set_up(slot) or clouds.interrupted(slot) if is_interaction else clouds.current(slot)
            )
            if generation is None or not (digest := generation.record.get("digest")):
                continue
            user, command = f"cloud '{cloud}'", f"tweed-shim clouds rm {cloud}"
            if is_interaction:
                name = os.path.basename(slot)
                user = f"interaction '{name}' of {user}"
                image = generation.record["image"]
                command = command_lines.teardown(image, cloud, name)
            users.setdefault(digest, []).append((user, command))
    return users
