"""From a reference to an unpacked image: an image in the store is used, any other is fetched.

This module is on the warm path: the code that fetches is imported only when something has to be fetched.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tweed_shim.base import option_values, trace
from tweed_shim.base.lean.typing import TYPE_CHECKING
from tweed_shim.base.option_names import option
from tweed_shim.errors import DamagedRecord, ImageError, RegistryError, StateError
from tweed_shim.host import userns as idmaps
from tweed_shim.host.userns import IdMap
from tweed_shim.http.connect_options import DEFAULT_OPTIONS, ConnectOptions
from tweed_shim.image import lookup, store
from tweed_shim.image.reference import Reference, parse
from tweed_shim.image.store import Image

if TYPE_CHECKING:
    from tweed_shim.image.sources import Opener


def obtain(
    root: str,
    reference: Reference | str,
    *,
    pull: str = "missing",
    platform: str | None = None,
    connect: ConnectOptions = DEFAULT_OPTIONS,
    report: Callable[[str], None] | None = None,
    idmap: IdMap | None = None,
    source: "Opener | None" = None,
) -> Image:
    """Return the image that a reference names, unpacked for the ids of `idmap` (default: those of the caller).

    pull: `missing` uses the network only for an image that is not in the store; `always` resolves the tag again;
    `never` does not use the network. Except with `never`, a local image (`oci:`, archives) is checked for changes.
    connect: the options for the registry, with the time limit for the whole pull. report: called with one line for each
    long step. source: opens the source to use in place of the registry that the reference names.

    Raises BadReference, ConfigError, RegistryError (PullTimedOut after the time limit), ImageError, StateError (not in
    the store, with `never`) and HostError. After an error the reference names the same image as before.
    """
    option_values.argument("pull", pull, option_values.pull_policy)
    name = store.canonical(reference if isinstance(reference, Reference) else parse(reference))
    ids = idmap or idmaps.detect()
    key = store.platform_key(platform)
    with store.disk_faults(root), _with_hint(root, name, key):
        if pull != "always" and (
            image := lookup.unpacked_image(root, name, key, ids=ids, check_origin=pull != "never")
        ):
            return image

        with trace.span("imports"):
            from tweed_shim.base.deadline import Deadline
            from tweed_shim.image import fetch, progress, sources

        deadline = Deadline(connect.timeout, str(name))
        request = sources.PullRequest(
            root, name, key, ids, pull, connect, deadline, report or progress.silent, source
        )
        return fetch.fetch(request)


@contextmanager
def _with_hint(root: str, name: Reference, platform: str) -> Iterator[None]:
    """Add a hint to errors: use the copy in the store, or write `oci:` where a path of that name exists."""
    try:
        yield
    except (ImageError, RegistryError, StateError) as error:
        if name.path:
            if isinstance(error, ImageError) and _is_stored(root, name, platform):
                error.args = (
                    f"{error}; or use the image as it is in the store: {option('--pull', 'never')}",
                )
        elif path := _path_like(name):
            error.args = (f"{error}; for the path {path} write {_path_reference(path)}",)
        raise


def _path_like(name: Reference) -> str:
    """Return the existing path that has the name of a reference to a registry; empty where there is none."""
    short = name.repository.removeprefix("library/")
    return next((each for each in (f"{name.registry}/{short}", short) if os.path.exists(each)), "")


def _path_reference(path: str) -> str:
    return f"oci:{path}" if os.path.isdir(path) else f"oci-archive:{path} or docker-archive:{path}"


def _is_stored(root: str, name: Reference, platform: str) -> bool:
    with suppress(DamagedRecord):
        record = store.look_up(root, str(name), platform)
        return record is not None and os.path.isdir(store.tree_path(root, record.digest))
    return False


def image_of_removed_path(root: str, reference: Reference, digest: str, *, ids: IdMap) -> Image | None:
    """Return the image of a digest from the store, where the path of a local reference no longer exists.

    Return None where the path exists, or the image is not unpacked for these ids.
    """
    if os.path.lexists(reference.path):
        return None
    return store.unpacked(root, str(reference), digest, ids=ids)


@contextmanager
def held(obtain: Callable[[], Image]) -> Iterator[Image]:
    """Lock an image against removal for the length of a with block. obtain: pulls it or finds it in the store."""
    with ExitStack() as stack:
        image = obtain()
        try:
            stack.enter_context(store.hold(image))
        except StateError:
            # Between the two calls the tag moved to another image, and `gc` removed this one. Find the newer one.
            image = obtain()
            stack.enter_context(store.hold(image))
        yield image
