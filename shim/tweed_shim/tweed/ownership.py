"""The owner of a cloud or an interaction: the repository of the image that made it, or that image alone.

The stored configuration of a cloud contains passwords. Only the image that stored it, and other versions of that image,
may read it: never another image that is named with the cloud by mistake.
"""

import os
from collections.abc import Mapping

from tweed_shim.base.lean.typing import Any
from tweed_shim.base.option_names import option
from tweed_shim.errors import BadReference, StateError
from tweed_shim.image.reference import Reference, parse, repository_key
from tweed_shim.image.store import Image


def owns(record: Mapping[str, Any], image: Image) -> bool:
    """Tell whether an image owns the cloud or the interaction of a record.

    It does where it has the recorded digest, under whatever name, or where its reference names the recorded repository:
    see `same_repository`.
    """
    return record.get("digest") == image.digest or is_named_like(record, image.reference)


def same_repository(one: Reference, other: Reference) -> bool:
    """Tell whether two references name versions of one image.

    In a registry the versions are the tags and digests of a repository. Versions of a local image have the same path:
    it may be built again there, with another tag. Where a layout or an archive names each of its images by a repository
    (`oci:DIR:pg-backend:1`), that name has to be the same, too.
    """
    if one.path and other.path:
        same_path = not _paths(one).isdisjoint(_paths(other))
        return same_path and _name_inside(one.tag) == _name_inside(other.tag)
    return not (one.path or other.path) and repository_key(one) == repository_key(other)


def owner(record: Mapping[str, Any], image: Image) -> str:
    """Return the reference to record as the owner when this image makes a new generation from that of `record`.

    An image with the same digest and another name does not become the owner. Otherwise the next version under that name
    would be trusted, and no operator has decided that.
    """
    return image.reference if is_named_like(record, image.reference) else str(record["image"])


def check_cloud(cloud: str, record: Mapping[str, Any], image: Image) -> None:
    """Raise StateError where a configured cloud belongs to another image."""
    if not owns(record, image):
        raise StateError(
            f"cloud '{cloud}' was configured by {record.get('image')}, not by {image.reference}; "
            f"use another {option('--cloud')}, or configure with {option('--replace')} to give it over"
        )


def check_interaction(record: Mapping[str, Any], image: Image, *, interaction: str, cloud: str) -> None:
    """Raise StateError where an interaction was set up by another image, whichever image owns the cloud now."""
    if not owns(record, image):
        made_by = record.get("image")
        raise StateError(
            f"interaction '{interaction}' of cloud '{cloud}' was set up by {made_by}, not by {image.reference}; "
            f"tear it down with {made_by}"
        )


def is_named_like(record: Mapping[str, Any], reference: str) -> bool:
    """Tell whether a reference names the recorded image, or another version of it."""
    recorded = str(record.get("image"))
    if recorded == reference:
        return True
    try:
        return same_repository(parse(recorded), parse(reference))
    except BadReference:
        # The shim did not write this record, so its owner is unknown.
        return False


def _paths(reference: Reference) -> set[str]:
    """Return the path as written and with its links resolved: either names the image."""
    return {os.path.abspath(reference.path), os.path.realpath(reference.path)}


def _name_inside(tag: str | None) -> tuple[str, str]:
    """Return the repository in an image's name within a layout or an archive; empty for a plain tag."""
    if tag is None or not (":" in tag or "/" in tag):
        return "", ""
    try:
        return repository_key(parse(f"docker://{tag}"))
    except BadReference:
        # Names within a layout have a wider grammar than references.
        return "", tag
