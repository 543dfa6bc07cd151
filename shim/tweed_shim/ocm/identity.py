"""Identities: what tells the resources, sources or references of one component version apart, and finds them.

An identity is a map of texts (ocm-spec, doc/01-model/03-elements-sub.md): the element's `name`, what its
`extraIdentity` adds, and its `version` where other elements of its kind share all of that.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

from tweed_shim.errors import UsageError
from tweed_shim.ocm.descriptor import Element, Identity

NAME = "name"
VERSION = "version"

AnyElement = TypeVar("AnyElement", bound=Element)


def identity(element: Element, among: Sequence[Element]) -> dict[str, str]:
    """Return the identity of an element among all of its kind, itself included.

    For all elements of one tuple this takes a time in proportion to their number: the tuple is counted once.
    """
    attributes = {**element.extra_identity, NAME: element.name}
    if not attributes.get(VERSION):
        counts = _counted(_ById(among)) if isinstance(among, tuple) else _count(among)
        if counts[_without_version(element)] > 1:
            attributes[VERSION] = element.version
    return attributes


def matches(pattern: Identity, element: Element) -> bool:
    """Whether an element has all that a pattern asks for; a pattern may leave out what it will."""
    attributes = {**element.extra_identity, NAME: element.name, VERSION: element.version}
    return all(attributes.get(key) == value for key, value in pattern.items())


def select(elements: Iterable[AnyElement], pattern: Identity) -> list[AnyElement]:
    """All elements that have what a pattern asks for, in their order."""
    return [element for element in elements if matches(pattern, element)]


def resolve(elements: Sequence[AnyElement], wanted: Identity) -> AnyElement | None:
    """Return the element that a complete identity names, or None.

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


_Named = tuple[str, frozenset[tuple[str, str]]]


def _without_version(element: Element) -> _Named:
    """Return the name and the extra identity of an element, without the version that this may hold."""
    extra = element.extra_identity.items()
    return element.name, frozenset(pair for pair in extra if pair[0] != VERSION)


def _count(elements: Iterable[Element]) -> Counter[_Named]:
    return Counter(map(_without_version, elements))


class _ById:
    """A tuple as a key that is equal to the same tuple only, so that its elements are not compared."""

    def __init__(self, elements: tuple[Element, ...]) -> None:
        self.elements = elements

    def __hash__(self) -> int:
        return id(self.elements)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and self.elements is other.elements


@lru_cache(maxsize=16)
def _counted(key: _ById) -> Counter[_Named]:
    """Count the elements of a tuple; of the last ones that were asked for the count is kept."""
    return _count(key.elements)
