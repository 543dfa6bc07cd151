"""What there is of clouds and interactions: for lists, and for who wants to remove an image."""

import os
from collections.abc import Callable

from tweed_shim.records import Record
from tweed_shim.tweed import clouds
from tweed_shim.tweed.clouds import Generation


class InteractionState(Record):
    """An interaction that is set up: its name, the image that set it up with its manifest digest, and when.

    Of one whose record is damaged only the name is known. interrupted: its setup was interrupted, and nobody knows
    whether it succeeded; teardown and `forget` take it.
    """

    name: str
    image: str
    digest: str
    time: str
    interrupted: bool = False


class CloudState(Record):
    """What is known of a cloud: the image that it was configured for, when, and the interactions set up.

    interactions: their names; setups: what is known of each of them.
    """

    name: str
    image: str
    configured: str
    interactions: tuple[str, ...]
    setups: tuple[InteractionState, ...] = ()


def states(root: str, warn: Callable[[str], None] = lambda _: None) -> list[CloudState]:
    """Every cloud of a store, by name. warn: is told of each record that is damaged."""
    found = []
    for directory in clouds.directories(root):
        configured: Generation | None = None
        setups = []
        names = clouds.set_up_in(directory)
        for place in clouds.places(directory):
            generation, damage = clouds.examine(place)
            if damage is not None:
                warn(str(damage))
            if not clouds.is_interaction(place):
                configured = generation
            elif os.path.basename(place) in names:
                setups.append(_interaction(clouds.set_up(place, replacing=True), place))
            elif (kept := clouds.interrupted(place)) is not None:
                setups.append(_interaction(kept, place, interrupted=True))
        if configured is not None or setups:
            record = {} if configured is None else configured.record
            found.append(
                CloudState(
                    os.path.basename(directory),
                    record.get("image", ""),
                    record.get("time", ""),
                    names,
                    tuple(setups),
                )
            )
    return found


def _interaction(generation: Generation | None, place: str, *, interrupted: bool = False) -> InteractionState:
    record = {} if generation is None else generation.record
    image, digest, time = (record.get(key, "") for key in ("image", "digest", "time"))
    return InteractionState(os.path.basename(place), image, digest, time, interrupted)


def image_users(root: str) -> dict[str, list[tuple[str, str]]]:
    """Return who needs each image: manifest digests, with all that was made by it.

    Each is told as people name it, with the command that removes it; interactions come before their cloud, as they are
    to be removed. Raises DamagedRecord where nobody can tell.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for directory in clouds.directories(root):
        cloud = os.path.basename(directory)
        for place in reversed(clouds.places(directory)):
            is_interaction = clouds.is_interaction(place)
            generation = (
                clouds.set_up(place) or clouds.interrupted(place) if is_interaction else clouds.current(place)
            )
            if generation is None or not (digest := generation.record.get("digest")):
                continue
            who, command = f"cloud '{cloud}'", f"tweed-shim clouds rm {cloud}"
            if is_interaction:
                name = os.path.basename(place)
                who = f"interaction '{name}' of {who}"
                image = generation.record["image"]
                command = f"tweed-shim exec {image} teardown --cloud {cloud} --interaction {name}"
            found.setdefault(digest, []).append((who, command))
    return found
