"""Which image a cloud or an interaction belongs to: the repository whose image made it, or that very image.

What an image has kept of a configuration holds passwords. It is for that image and for other versions of it, and for
no stranger who is named together with the cloud by mistake.
"""

import os
from collections.abc import Mapping

from tweed_shim.errors import BadReference, StateError
from tweed_shim.image.reference import Reference, parse, repository_key
from tweed_shim.image.store import Image
from tweed_shim.lean.typing import Any
from tweed_shim.option_names import option


def owns(record: Mapping[str, Any], image: Image) -> bool:
    """Return whether what `record` is about belongs to this image.

    So it does where the image has the digest of the one that is recorded, under whatever name, or where its reference
    names the repository that is recorded: see `same_repository`.
    """
    return record.get("digest") == image.digest or is_named_like(record, image.reference)


def same_repository(one: Reference, other: Reference) -> bool:
    """Return whether two references name versions of one image.

    In a registry these are the tags and digests of a repository. For a local image there is only the path: it may be
    built again there, and given another tag. Where a layout or an archive holds several images, and names each by a
    repository of its own (`oci:DIR:pg-backend:1`), that name has to be the same, too.
    """
    if one.path and other.path:
        same_path = not _paths(one).isdisjoint(_paths(other))
        return same_path and _name_inside(one.tag) == _name_inside(other.tag)
    return not (one.path or other.path) and repository_key(one) == repository_key(other)


def owner(record: Mapping[str, Any], image: Image) -> str:
    """Return the reference to record for something that this image makes out of what belongs to `record`.

    An image that has only the digest in common with the recorded one does not take anything over: the next version
    under its own name would then be trusted, which nobody has decided.
    """
    return image.reference if is_named_like(record, image.reference) else str(record["image"])


def check_cloud(cloud: str, record: Mapping[str, Any], image: Image) -> None:
    """Raise StateError where a cloud that was configured belongs to another image."""
    if not owns(record, image):
        raise StateError(
            f"cloud '{cloud}' was configured by {record.get('image')}, not by {image.reference}; "
            f"use another {option('--cloud')}, or configure with {option('--replace')} to give it over"
        )


def check_interaction(interaction: str, cloud: str, record: Mapping[str, Any], image: Image) -> None:
    """Raise StateError where an interaction was set up by another image, whoever the cloud belongs to now."""
    if not owns(record, image):
        made_by = record.get("image")
        raise StateError(
            f"interaction '{interaction}' of cloud '{cloud}' was set up by {made_by}, not by {image.reference}; "
            f"tear it down with {made_by}"
        )


def is_named_like(record: Mapping[str, Any], reference: str) -> bool:
    """Return whether a reference names the image that is recorded, or another version of it."""
    recorded = str(record.get("image"))
    if recorded == reference:
        return True
    try:
        return same_repository(parse(recorded), parse(reference))
    except BadReference:
        # Not one of ours: nothing is known of who made it.
        return False


def _paths(reference: Reference) -> set[str]:
    """Return the path as it is written and what it leads to: either names the image."""
    return {os.path.abspath(reference.path), os.path.realpath(reference.path)}


def _name_inside(tag: str | None) -> tuple[str, str]:
    """Return the repository that an image's name inside of a layout or an archive has, empty for a plain tag."""
    if tag is None or not (":" in tag or "/" in tag):
        return "", ""
    try:
        return repository_key(parse(f"docker://{tag}"))
    except BadReference:
        # A layout's own grammar for names is wider than that for references.
        return "", tag
