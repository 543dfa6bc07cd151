"""Remove clouds, and give up interactions that no teardown can remove. What a run uses is never removed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tweed_shim.base import files
from tweed_shim.errors import StateError
from tweed_shim.host import workdirs
from tweed_shim.tweed import cloud_errors, cloud_listing, clouds, instance_states
from tweed_shim.tweed.clouds import Cloud
from tweed_shim.tweed.unused import unused


def remove(cloud: Cloud) -> None:
    """Remove a cloud. Raises StateError where there is no such cloud, or it has interactions or instances."""
    with _locked(cloud):
        if names := _interactions(cloud):
            raise StateError(
                f"cloud '{cloud.name}' still has interactions set up ({', '.join(names)}); tear them down first, or "
                f"give them up with: tweed-shim clouds forget {cloud.name}"
            )
        if instances := instance_states.in_cloud(cloud.root, cloud.name):
            raise StateError(
                f"cloud '{cloud.name}' still has instances of patterns ({', '.join(instances)}); 'tweed-shim instances "
                f"show {instances[0]}' names the command that deprovisions the first of them"
            )
        _remove_all(cloud)


def give_up(cloud: Cloud, warn: Callable[[str], None]) -> None:
    """Remove a cloud with its interactions, without a teardown.

    warn: is called with a sentence about each loss before anything is removed. Raises StateError where there is no such
    cloud.
    """
    with _locked(cloud):
        for interaction in (
            *cloud_listing.set_up_in(cloud.directory),
            *cloud_listing.interrupted_in(cloud.directory),
        ):
            _warn_of_loss(cloud, interaction, warn)
        for instance in instance_states.in_cloud(cloud.root, cloud.name):
            warn(
                f"instance '{instance}' loses its cloud '{cloud.name}': only 'tweed-shim instances forget {instance}' "
                "removes it from now on, or configure the cloud again"
            )
        warn(f"the configuration of cloud '{cloud.name}' is removed; configure it again to use it")
        _remove_all(cloud)


def give_up_interaction(cloud: Cloud, interaction: str, warn: Callable[[str], None]) -> None:
    """Remove the state of an interaction without a teardown.

    warn: is called with a sentence about the loss before anything is removed. Raises StateError where it is not set
    up.
    """
    slot = cloud.slot("interaction", interaction)
    refusal = cloud_errors.not_set_up(cloud.directory, interaction)
    if not os.path.isdir(slot):
        raise refusal
    what = f"interaction '{interaction}' of cloud '{cloud.name}'"
    with (
        clouds.used(cloud),
        unused(os.path.join(slot, clouds.LOCK), what, lambda: clouds.users_of(cloud, interaction)),
        clouds.tidied(cloud, slot),
    ):
        # A damaged record is one of the reasons to give an interaction up.
        if clouds.set_up(slot, replacing=True) is None and clouds.interrupted(slot) is None:
            raise refusal
        _warn_of_loss(cloud, interaction, warn)
        clouds.forget(cloud, slot)


def _interactions(cloud: Cloud) -> tuple[str, ...]:
    """Return the names of the interactions of a cloud that are set up or were interrupted."""
    return (*cloud_listing.set_up_in(cloud.directory), *cloud_listing.interrupted_in(cloud.directory))


def _warn_of_loss(cloud: Cloud, interaction: str, warn: Callable[[str], None]) -> None:
    slot = cloud.slot("interaction", interaction)
    generation = clouds.set_up(slot, replacing=True) or clouds.interrupted(slot)
    made_by = generation and generation.record.get("image")
    warn(
        f"interaction '{interaction}' of cloud '{cloud.name}' is given up: what {made_by or 'its image'} made for "
        "it in the backend stays there, and no teardown can remove it any more; remove it there by hand"
    )


@contextmanager
def _locked(cloud: Cloud) -> Iterator[None]:
    """Lock a cloud for the length of a block. Raises StateError where there is none, or it is in use."""
    if not os.path.isdir(cloud.directory):
        raise StateError(f"there is no cloud '{cloud.name}'; 'tweed-shim clouds' lists those there are")
    lock = os.path.join(cloud.directory, clouds.LOCK)
    with unused(lock, f"cloud '{cloud.name}'", lambda: clouds.users_of(cloud)):
        yield


def _remove_all(cloud: Cloud) -> None:
    with workdirs.directory(workdirs.tmp_directory(cloud.root), cloud.ids) as work:
        os.rename(cloud.directory, os.path.join(work, cloud.name))
        files.sync_directory(os.path.dirname(cloud.directory))
