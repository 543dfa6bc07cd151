"""The image of an operation: the one that its reference names, or the one that made what is recorded."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tweed_shim.base.lean.typing import Any
from tweed_shim.base.records import replace
from tweed_shim.errors import ImageError, StateError
from tweed_shim.image import pull, store
from tweed_shim.image.reference import Reference, parse
from tweed_shim.image.store import Image
from tweed_shim.runner import Runner
from tweed_shim.tweed import ownership


def named(runner: Runner, name: Reference, recorded: Mapping[str, Any] | None) -> Image:
    """Return the image that a reference names.

    recorded: the record of what the image made before. Where a local image has been moved or deleted since, the image
    that made it is taken from the store. Raises what `pull.obtain` raises.
    """
    return _of_removed_path(runner, name, recorded) or runner.obtain(name)


def _of_removed_path(runner: Runner, name: Reference, recorded: Mapping[str, Any] | None) -> Image | None:
    """Return the stored image of a record, if it came from this path and the path is gone."""
    is_ours = recorded and name.path and ownership.is_named_like(recorded, str(name))
    if recorded is None or not is_ours or runner.options.pull != "missing":
        return None
    image = pull.image_of_removed_path(runner.root, name, recorded["digest"], ids=runner.host.ids)
    if image is not None:
        runner.console.warn(
            f"there is no {name.path} any more: using {image.digest}, which made what is recorded, from the store"
        )
    return image


def exactly(runner: Runner, record: Mapping[str, Any]) -> Image:
    """Return the image with the digest of a record, from the store wherever it is there.

    Raises ImageError where the path of a local image holds another one by now, and what `pull.obtain` raises.
    """
    reference, digest = str(record["image"]), str(record["digest"])
    if stored := store.unpacked(runner.root, reference, digest, ids=runner.host.ids):
        return stored
    name = parse(reference)
    image = runner.obtain(name if name.path else replace(name, tag=None, digest=digest))
    if image.digest != digest:
        raise ImageError(
            f"{reference} is another image than {digest}, which configured the cloud and is no longer in the store; "
            "configure the cloud again with the image that is there now"
        )
    return image


@contextmanager
def contract_first(runner: Runner, name: Reference, operation: str) -> Iterator[None]:
    """Where a block raises StateError, raise ContractError instead if the image is known not to have the operation.

    What the state lacks would mislead then: no cloud and no instance helps an image of the other contract.
    """
    try:
        yield
    except StateError:
        from tweed_shim.tweed import image_metadata

        image_metadata.require_if_known(runner, name, operation)
        raise
