"""The functions of semantic versions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key

from tweed_shim.base import semver
from tweed_shim.base.records import replace
from tweed_shim.base.semver import Version
from tweed_shim.errors import BadVersion
from tweed_shim.spiff.functions.printing import quoted
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.nodes import type_name
from tweed_shim.spiff.tree.values import Fault, Value


def parsed(name: str, text: Value) -> Version:
    """Read a version that is an argument. Raises Fault."""
    if not isinstance(text, str):
        raise Fault(f"{name} requires one string argument, but got {type_name(text)}")
    try:
        return semver.parse(text)
    except BadVersion as error:
        raise Fault(f"{name}: {quoted(text)}: {error.reason}") from None


def objection(name: str, version: Version, constraints: tuple[Value, ...]) -> str | None:
    """Return why a version does not meet the first constraint that it fails, or None. Raises Fault."""
    for position, constraint in enumerate(constraints):
        if not isinstance(constraint, str):
            raise Fault(f"{name}: constraint argument {position} must be string")
        try:
            reasons = semver.parse_constraint(constraint).objections(version)
        except BadVersion as error:
            raise Fault(
                f"{name}: invalid constraint {quoted(constraint)}[{position}]: {error.reason}"
            ) from None
        if reasons is not None:
            return f"[{' '.join(reasons)}]"
    return None


def _getter(name: str, get: Callable[[Version], Value]) -> None:
    function(name, 1, 1)(lambda call, text: get(parsed(call.name, text)))


for _name, _get in (
    ("semver", str),
    ("semvermajor", lambda version: version.major),
    ("semverminor", lambda version: version.minor),
    ("semverpatch", lambda version: version.patch),
    ("semverincmajor", lambda version: version.next_major().original),
    ("semverincminor", lambda version: version.next_minor().original),
    ("semverincpatch", lambda version: version.next_patch().original),
):
    _getter(_name, _get)


def _setter(
    name: str, attribute: str, get: Callable[[Version], str], change: Callable[[Version, str], Version]
) -> None:
    def implementation(call: Call, text: Value, value: Value = None) -> Value:
        version = parsed(call.name, text)
        if value is None:
            return get(version)
        if not isinstance(value, str):
            raise Fault(f"{call.name}: {attribute} requires string, but got {type_name(value)}")
        try:
            return change(version, value).original
        except BadVersion as error:
            raise Fault(f"{call.name}: invalid {attribute} {quoted(value)}: {error.reason}") from None

    function(name, 1, 2)(implementation)


def _released(version: Version, release: str) -> Version:
    base = semver.parse(release)
    return replace(base, metadata="").with_metadata(version.metadata).with_prerelease(version.prerelease)


_setter("semverprerelease", "prerelease", lambda version: version.prerelease, Version.with_prerelease)
_setter("semvermetadata", "metadata", lambda version: version.metadata, Version.with_metadata)
_setter(
    "semverrelease",
    "release",
    lambda version: version.with_metadata("").with_prerelease("").original,
    _released,
)


@function("semvercmp", 2, 2)
def semvercmp(call: Call, one: Value, other: Value) -> Value:
    """Compare two versions: -1, 0 or 1, where the first is lower, equal or higher."""
    return semver.compare(parsed(call.name, one), parsed(call.name, other))


@function("semversort")
def semversort(call: Call, *versions: Value) -> Value:
    """Sort versions, or a list of them."""
    texts = versions[0] if len(versions) == 1 and isinstance(versions[0], list) else versions
    found = [parsed("semvercmp", text) for text in texts]
    return [version.original for version in sorted(found, key=cmp_to_key(semver.compare))]


@function("semvermatch", 1)
def semvermatch(call: Call, text: Value, *constraints: Value) -> Value:
    """Return whether a version meets all constraints."""
    return objection(call.name, parsed(call.name, text), constraints) is None


@function("semvervalidate", 1)
def semvervalidate(call: Call, text: Value, *constraints: Value) -> Value:
    """Return a version that meets all constraints. Raises Fault for one that does not."""
    found = objection(call.name, parsed(call.name, text), constraints)
    if found is not None:
        raise Fault(f"{call.name}: {quoted(text)}: {found}")
    return text
