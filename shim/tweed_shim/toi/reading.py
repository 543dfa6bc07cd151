"""Specifications as maps of a YAML document: all that is wrong with one is collected, with its path and line."""

import math
from collections.abc import Iterator
from typing import Any

from tweed_shim import documents
from tweed_shim.documents import Document
from tweed_shim.errors import ShimError
from tweed_shim.spiff import reading as spiff_reading

Path = tuple[str | int, ...]


class Part:
    """A value of a specification and its place in it.

    What it should be and is not becomes a fault of the whole; the methods then return what is empty.
    """

    def __init__(self, whole: "_Whole", path: Path, value: Any) -> None:
        self._whole = whole
        self._path = path
        self.value = value

    def fault(self, problem: str, *beyond: str | int) -> None:
        """Note what is wrong with it, or with what is missing in it."""
        self._whole.faults.append(f"{self._whole.document.place((*self._path, *beyond))} {problem}")

    def instead(self, value: Any) -> "Part":
        """Another value at the same place."""
        return Part(self._whole, self._path, value)

    def entries(self, *, empty: bool = False) -> dict[str, "Part"]:
        """The entries of a map; one without a value is as good as none, or with `empty` as an empty map."""
        if not isinstance(self.value, dict):
            self.fault("must be a map")
            return {}
        return {
            key: Part(self._whole, (*self._path, key), {} if value is None else value)
            for key, value in self.value.items()
            if value is not None or empty
        }

    def fields(self, *known: str) -> dict[str, "Part"]:
        """The entries of a map with these fields; others are kept in mind as unknown."""
        found = self.entries()
        self._whole.unknown += [
            documents.path_name((*self._path, name)) for name in found if name not in known
        ]
        return found

    def items(self) -> Iterator["Part"]:
        """The values of a list."""
        if not isinstance(self.value, list):
            self.fault("must be a list")
            return
        for index, value in enumerate(self.value):
            yield Part(self._whole, (*self._path, index), value)

    def text(self) -> str:
        """A scalar, as it was written."""
        found = None if self.value is None else self._whole.document.text(self._path)
        if found is None:
            self.fault("must be text")
        return found or ""

    def texts(self) -> dict[str, str]:
        """A map of texts."""
        return {key: each.text() for key, each in self.entries().items()}

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self.fault("must be true or false")
        return self.value is True


class _Whole:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.faults: list[str] = []
        self.unknown: list[str] = []


class Specification:
    """A document that is read: `root`, and its faults once all of it was looked at.

    Raises `error` where it is no YAML.
    """

    def __init__(self, data: bytes, name: str, error: type[ShimError]) -> None:
        document = documents.load(data, name=name, error=error, scalar=_scalar)
        self._whole = _Whole(document)
        self._name, self._error = name, error
        self.root = Part(self._whole, (), document.value)

    def finish(self, kind: str) -> tuple[str, ...]:
        """The names of the fields that are not known. Raises the error that lists all faults, if there are some."""
        if self._whole.faults:
            raise self._error(f"{self._name} is no {kind}: {documents.listed(self._whole.faults)}")
        return tuple(self._whole.unknown)


def _scalar(text: str) -> Any:
    """What a plain scalar is for the reference, and so for the templates and values of others: YAML 1.1's guess."""
    value = spiff_reading.scalar(text)
    return text if isinstance(value, float) and not math.isfinite(value) else value
