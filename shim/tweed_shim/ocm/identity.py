"""Identities: what tells the resources, sources or references of one component version apart, and finds them.

An identity is a map of texts (ocm-spec, doc/01-model/03-elements-sub.md): the element's `name`, what its
`extraIdentity` adds, and its `version` where other elements of its kind share all of that.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from tweed_shim.errors import UsageError
from tweed_shim.ocm.descriptor import Element, Identity

NAME = "name"
VERSION = "version"

AnyElement = TypeVar("AnyElement", bound=Element)


def identity(element: Element, among: Iterable[Element]) -> dict[str, str]:
    """The identity of an element among all of its kind, itself included."""
    found = {**element.extra_identity, NAME: element.name}
    if not found.get(VERSION) and sum(_same_but_version(element, other) for other in among) > 1:
        found[VERSION] = element.version
    return found


def matches(pattern: Identity, element: Element) -> bool:
    """Whether an element has all that a pattern asks for; a pattern may leave out what it will."""
    attributes = {**element.extra_identity, NAME: element.name, VERSION: element.version}
    return all(attributes.get(key) == value for key, value in pattern.items())


def select(elements: Iterable[AnyElement], pattern: Identity) -> list[AnyElement]:
    """All elements that have what a pattern asks for, in their order."""
    return [element for element in elements if matches(pattern, element)]


def resolve(elements: Sequence[AnyElement], wanted: Identity) -> AnyElement | None:
    """The element that a complete identity names, or None.

    That is how references to resources and to component references are resolved: extra identities are given in
    full, while the version may be left out, or given, where it is not needed.
    """
    known = [(identity(element, elements), element) for element in elements]
    with_versions = [({VERSION: element.version, **found}, element) for found, element in known]
    return next((element for found, element in known + with_versions if found == wanted), None)


def parse(words: Iterable[str]) -> dict[str, str]:
    """The pattern that words of a command line stand for: `NAME`, `KEY=VALUE`.

    Raises UsageError where a key is missing, or there twice.
    """
    found: dict[str, str] = {}
    for word in words:
        key, value = word.split("=", 1) if "=" in word else (NAME, word)
        if not key:
            raise UsageError(f"{word!r} has nothing before the '=': write KEY=VALUE")
        if key in found:
            what = "name" if key == NAME else f"value for {key!r}"
            raise UsageError(f"{value!r} is one {what} too many, after {found[key]!r}: leave one of them")
        found[key] = value
    return found


def show(wanted: Mapping[str, str]) -> str:
    """An identity for people: `name=image, platform=linux`."""
    ordered = sorted(wanted.items(), key=lambda pair: (pair[0] != NAME, pair[0]))
    return ", ".join(f"{key}={value}" for key, value in ordered) or "anything"


def _same_but_version(element: Element, other: Element) -> bool:
    mine, theirs = (
        {key: value for key, value in each.extra_identity.items() if key != VERSION}
        for each in (element, other)
    )
    return element.name == other.name and mine == theirs
