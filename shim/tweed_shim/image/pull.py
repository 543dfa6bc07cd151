"""From a reference to an unpacked image: what is here is taken as it is, anything else is fetched.

This module is on the path of every run: what fetches is imported only when something has to be fetched.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tweed_shim import idmap as idmaps
from tweed_shim import option_values, trace
from tweed_shim.connect_options import DEFAULT_OPTIONS, ConnectOptions
from tweed_shim.errors import DamagedRecord, ImageError, RegistryError, StateError
from tweed_shim.idmap import IdMap
from tweed_shim.image import present, store
from tweed_shim.image.reference import Reference, parse
from tweed_shim.image.store import Image
from tweed_shim.lean.typing import TYPE_CHECKING
from tweed_shim.option_names import option

if TYPE_CHECKING:
    from tweed_shim.image.fetch import Opener


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
    """The image that a reference names, unpacked for the ids of `idmap` (default: those that the caller has).

    pull: `missing` uses the network only for what is not here; `always` asks the registry again what the tag means;
    `never` leaves the network alone. A local image (`oci:`, archives) is looked at each time except with `never`.
    connect: how the registry is spoken to, and how long all of it may take. report: is told each step of what takes
    long, in one line. source: where to get it from in place of the registry that the reference names.

    Raises BadReference, ConfigError, RegistryError (PullTimedOut where it takes too long), ImageError, StateError (not
    here, with `never`) and HostError; then the reference means what it meant before.
    """
    option_values.argument("pull", pull, option_values.pull_policy)
    name = store.canonical(reference if isinstance(reference, Reference) else parse(reference))
    ids = idmap or idmaps.detect()
    key = store.platform_key(platform)
    with store.disk_faults(root), _explained(root, name, key):
        if pull != "always" and (image := present.at_hand(root, name, key, ids, looking=pull != "never")):
            return image

        with trace.span("imports"):
            from tweed_shim.image import fetch, progress
            from tweed_shim.image.deadline import Deadline

        deadline = Deadline(connect.timeout, str(name))
        wanted = fetch.Wanted(
            root, name, key, ids, pull, connect, deadline, report or progress.silent, source
        )
        return fetch.fetch(wanted)


@contextmanager
def _explained(root: str, name: Reference, platform: str) -> Iterator[None]:
    """Add to an error what else the caller may want: the copy in the store, or the path that has the same name."""
    try:
        yield
    except (ImageError, RegistryError, StateError) as error:
        if name.path:
            if isinstance(error, ImageError) and _is_stored(root, name, platform):
                error.args = (
                    f"{error}; or use the image as it is in the store: {option('--pull', 'never')}",
                )
        elif path := _path_like(name):
            error.args = (f"{error}; if the path {path} is meant, write {_by_kind(path)}",)
        raise


def _path_like(name: Reference) -> str:
    """Return the path that a reference to a registry may be meant for; empty where there is none of its name."""
    short = name.repository.removeprefix("library/")
    return next((each for each in (f"{name.registry}/{short}", short) if os.path.exists(each)), "")


def _by_kind(path: str) -> str:
    return f"oci:{path}" if os.path.isdir(path) else f"oci-archive:{path} or docker-archive:{path}"


def _is_stored(root: str, name: Reference, platform: str) -> bool:
    with suppress(DamagedRecord):
        record = store.look_up(root, str(name), platform)
        return record is not None and os.path.isdir(store.tree_path(root, record.digest))
    return False


def moved(root: str, reference: Reference, digest: str, ids: IdMap) -> Image | None:
    """Return the image of a digest from the store, where nothing is at the path of a local reference any more.

    None where something is there, or the store does not have the image unpacked for these ids.
    """
    if os.path.lexists(reference.path):
        return None
    return store.unpacked(root, str(reference), digest, ids)


@contextmanager
def held(obtain: Callable[[], Image]) -> Iterator[Image]:
    """An image that is kept from removal for the length of a block; `obtain` has it in the store."""
    with ExitStack() as stack:
        image = obtain()
        try:
            stack.enter_context(store.hold(image))
        except StateError:
            # Its tag has moved and `gc` has taken it since it was found; what is found now is newer.
            image = obtain()
            stack.enter_context(store.hold(image))
        yield image
