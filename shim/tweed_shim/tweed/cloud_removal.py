"""Removing clouds, and giving up what no teardown can remove. Nothing is removed that a run uses."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tweed_shim import files, scratch
from tweed_shim.errors import StateError
from tweed_shim.tweed import clouds
from tweed_shim.tweed.clouds import Cloud

# How long a removal waits, in seconds, where no run is known that holds what is to be removed.
PATIENCE = 5
ASK_AGAIN = 0.05


def remove(cloud: Cloud) -> None:
    """Remove a cloud's configuration.

    Raises StateError where there is none of that name, or interactions are still set up in it.
    """
    with _all_of(cloud):
        if left := (*clouds.set_up_in(cloud.directory), *clouds.interrupted_in(cloud.directory)):
            raise StateError(
                f"cloud '{cloud.name}' still has interactions set up ({', '.join(left)}); tear them down first, or "
                f"give them up with: tweed-shim clouds forget {cloud.name}"
            )
        _remove_all(cloud)


def give_up(cloud: Cloud, tell: Callable[[str], None]) -> None:
    """Remove a cloud with its configuration and its interactions, and tear none of these down.

    tell: takes a sentence about what is lost, once for each interaction, before anything is removed. Raises StateError
    where there is no cloud of that name.
    """
    with _all_of(cloud):
        for interaction in (*clouds.set_up_in(cloud.directory), *clouds.interrupted_in(cloud.directory)):
            _tell_loss(cloud, interaction, tell)
        tell(f"the configuration of cloud '{cloud.name}' is removed; configure it again to use it")
        _remove_all(cloud)


def give_up_interaction(cloud: Cloud, interaction: str, tell: Callable[[str], None]) -> None:
    """Forget an interaction without tearing it down. tell: takes a sentence about what is lost, before it is.

    Raises StateError where it is not set up.
    """
    place = cloud.place("interaction", interaction)
    refusal = clouds.not_set_up(cloud, interaction)
    if not os.path.isdir(place):
        raise refusal
    what = f"interaction '{interaction}' of cloud '{cloud.name}'"
    with (
        clouds.used(cloud),
        _unused(cloud, os.path.join(place, clouds.LOCK), what, interaction),
        clouds.tidied(cloud, place),
    ):
        # A record that is damaged is no reason to keep what is given up.
        if clouds.set_up(place, replacing=True) is None and clouds.interrupted(place) is None:
            raise refusal
        _tell_loss(cloud, interaction, tell)
        clouds.forget(cloud, place)


def _tell_loss(cloud: Cloud, interaction: str, tell: Callable[[str], None]) -> None:
    place = cloud.place("interaction", interaction)
    generation = clouds.set_up(place, replacing=True) or clouds.interrupted(place)
    made_by = generation and generation.record.get("image")
    tell(
        f"interaction '{interaction}' of cloud '{cloud.name}' is given up: what {made_by or 'its image'} made for "
        "it in the backend stays there, and no teardown can remove it any more; remove it there by hand"
    )


@contextmanager
def _all_of(cloud: Cloud) -> Iterator[None]:
    """Be the only one who uses a cloud for as long as the block lasts. Raises StateError where there is none."""
    if not os.path.isdir(cloud.directory):
        raise StateError(f"there is no cloud '{cloud.name}'; 'tweed-shim clouds' lists those there are")
    with _unused(cloud, os.path.join(cloud.directory, clouds.LOCK), f"cloud '{cloud.name}'"):
        yield


def _remove_all(cloud: Cloud) -> None:
    with scratch.directory(scratch.place(cloud.root), cloud.ids) as work:
        os.rename(cloud.directory, os.path.join(work, cloud.name))
        files.sync_directory(os.path.dirname(cloud.directory))


@contextmanager
def _unused(cloud: Cloud, lock: str, what: str, interaction: str = "") -> Iterator[None]:
    """Hold a lock alone. Raises StateError where a run holds it, or something else for longer than PATIENCE."""
    given_up = time.monotonic() + PATIENCE

    def busy() -> None:
        raise BlockingIOError

    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(files.locked(lock, waiting=busy))
                break
            except BlockingIOError:
                users = clouds.users_of(cloud, interaction)
                if users or time.monotonic() > given_up:
                    raise StateError(
                        f"{what} is in use by {users or 'another process'}; run it again when that has ended, or end "
                        "that first"
                    ) from None
                time.sleep(ASK_AGAIN)
        yield
