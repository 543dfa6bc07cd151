"""Access specifications: the typed maps by which a component descriptor says where content is.

What is read here needs no server; `access_methods` follows the accesses.
"""

from collections.abc import Mapping
from typing import Any

from tweed_shim.errors import ComponentError

Access = Mapping[str, Any]

LOCAL_BLOB = "localBlob"
# The type names that local blobs have had, and the attribute by which each type names its blob.
_LOCAL_REFERENCES = {
    "localblob": "localReference",
    "localociblob": "digest",
    "localfilesystemblob": "fileName",
}
# Servers and web frameworks let these headers replace the HTTP method of a request.
VERB_HEADERS = ("x-http-method", "x-http-method-override", "x-method-override")


def access_type(access: Access) -> str:
    """Return the type of an access, without its version and in lower case: type names exist in both cases."""
    return str(access.get("type", "")).partition("/")[0].lower()


def local_reference(access: Access) -> str | None:
    """Return the reference of a local blob; None for an access of another type. Raises ComponentError."""
    key = _LOCAL_REFERENCES.get(access_type(access))
    if key is None:
        return None
    reference = access.get(key)
    if not isinstance(reference, str) or not reference:
        raise ComponentError(
            f"an access of type {access['type']} has no {key}; build the component version again"
        )
    return reference


def media_type(access: Access) -> str:
    """Return the media type that an access names, empty where it names none."""
    value = access.get("mediaType")
    return value if isinstance(value, str) else ""


def global_access(access: Access) -> Mapping[str, Any] | None:
    """Return the `globalAccess` of a local blob, by which its content is reachable from elsewhere; None without one."""
    value = access.get("globalAccess") if access_type(access) == LOCAL_BLOB.lower() else None
    return value if isinstance(value, dict) else None


def as_plain_get(specification: Access) -> Access:
    """Return an access that is followed by a GET without a body.

    The verb, the body and the headers that replace the verb are left out of a `wget` access.
    """
    if access_type(specification) != "wget":
        return specification
    plain = {key: value for key, value in specification.items() if key not in ("verb", "body")}
    if isinstance(headers := plain.get("header"), dict):
        plain["header"] = {
            name: value for name, value in headers.items() if str(name).lower() not in VERB_HEADERS
        }
    return plain
