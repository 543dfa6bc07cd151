"""Element identities: they distinguish the resources, sources or references of one component version.

An identity is a map of texts (ocm-spec, doc/01-model/03-elements-sub.md): the `name` of the element, its
`extraIdentity`, and its `version` where another element of its kind has the same name and extra identity.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

from tweed_shim.errors import UsageError
from tweed_shim.ocm.component_descriptor import Element, Identity

NAME = "name"
VERSION = "version"

AnyElement = TypeVar("AnyElement", bound=Element)


def of_element(element: Element, among: Sequence[Element]) -> dict[str, str]:
    """Return the identity of an element among all of its kind, itself included.

    The elements of one tuple are counted once, so that the identities of all of them take linear time.
    """
    attributes = {**element.extra_identity, NAME: element.name}
    if not attributes.get(VERSION):
        counts = _counted(_ById(among)) if isinstance(among, tuple) else _count(among)
        if counts[_without_version(element)] > 1:
            attributes[VERSION] = element.version
    return attributes


def matches(pattern: Identity, element: Element) -> bool:
    """Whether an element has all attributes of a pattern; a pattern may leave out any attribute."""
    attributes = {**element.extra_identity, NAME: element.name, VERSION: element.version}
    return all(attributes.get(key) == value for key, value in pattern.items())


def select(elements: Iterable[AnyElement], pattern: Identity) -> list[AnyElement]:
    """Return all elements that match a pattern, in their order."""
    return [element for element in elements if matches(pattern, element)]


def resolve(elements: Sequence[AnyElement], complete: Identity) -> AnyElement | None:
    """Return the element with a complete identity, or None.

    References to resources and to component references are resolved so: they have the full extra identity, and may
    leave out the version or have one that is not necessary.
    """
    identities = [(of_element(element, elements), element) for element in elements]
    with_versions = [
        ({VERSION: element.version, **attributes}, element) for attributes, element in identities
    ]
    return next(
        (element for attributes, element in identities + with_versions if attributes == complete), None
    )


def parse(words: Iterable[str]) -> dict[str, str]:
    """Parse the words of a command line into a pattern: `NAME`, `KEY=VALUE`.

    Raises UsageError where a key is missing or repeated.
    """
    pattern: dict[str, str] = {}
    for word in words:
        key, value = word.split("=", 1) if "=" in word else (NAME, word)
        if not key:
            raise UsageError(f"{word!r} has nothing before the '='; write KEY=VALUE")
        if key in pattern:
            what = "name" if key == NAME else f"value for {key!r}"
            raise UsageError(f"{value!r} is a second {what}, after {pattern[key]!r}; leave out one of them")
        pattern[key] = value
    return pattern


def describe(attributes: Mapping[str, str]) -> str:
    """Return an identity as text for people: `name=image, platform=linux`."""
    ordered = sorted(attributes.items(), key=lambda pair: (pair[0] != NAME, pair[0]))
    return ", ".join(f"{key}={value}" for key, value in ordered) or "anything"


_Named = tuple[str, frozenset[tuple[str, str]]]


def _without_version(element: Element) -> _Named:
    """Return the name and the extra identity of an element, without a version in the latter."""
    extra = element.extra_identity.items()
    return element.name, frozenset(pair for pair in extra if pair[0] != VERSION)


def _count(elements: Iterable[Element]) -> Counter[_Named]:
    return Counter(map(_without_version, elements))


class _ById:
    """A tuple as a cache key: equal only to itself, so that its elements are not compared."""

    def __init__(self, elements: tuple[Element, ...]) -> None:
        self.elements = elements

    def __hash__(self) -> int:
        return id(self.elements)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and self.elements is other.elements


@lru_cache(maxsize=16)
def _counted(key: _ById) -> Counter[_Named]:
    """Count the elements of a tuple; the latest counts are cached."""
    return _count(key.elements)
