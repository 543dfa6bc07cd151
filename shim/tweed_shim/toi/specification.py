"""Specifications as maps of a YAML document: all that is wrong with one is collected, with its path and line."""

import math
from collections.abc import Iterator
from typing import Any

from tweed_shim.data import document_paths, documents
from tweed_shim.data.documents import Document
from tweed_shim.errors import ShimError
from tweed_shim.spiff.tree import reading as spiff_reading

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
        self._whole.faults.append(f"{self._whole.place((*self._path, *beyond))} {problem}")

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
            document_paths.path_name((*self._path, name)) for name in found if name not in known
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

    def texts(self, *, empty: bool = False) -> dict[str, str]:
        """A map of texts; one without a value is as good as none, or with `empty` an empty one."""
        found = self.entries(empty=empty)
        return {key: "" if self.value[key] is None else each.text() for key, each in found.items()}

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self.fault("must be true or false")
        return self.value is True


class _Whole:
    def __init__(self, document: Document, origin: str | None) -> None:
        self.document = document
        self.faults: list[str] = []
        self.unknown: list[str] = []
        self._origin = origin

    def place(self, path: Path) -> str:
        """A path for people, with its line, as far as there is one."""
        if self._origin is None:
            return self.document.location(path)
        try:
            return documents.load(self._origin, name="", as_text=True).location(path)
        except ShimError:
            # A template may be what no document of plain data can: it has a tag, or a key twice.
            return document_paths.path_name(path)


class Specification:
    """A document that is read: `root`, and its faults once all of it was looked at.

    Raises `error` where it is no YAML. origin: the text of the template that `data` was made from, which has the lines.
    """

    def __init__(self, data: bytes, name: str, error: type[ShimError], *, origin: str | None = None) -> None:
        document = documents.load(data, name=name, error=error, scalar=scalar)
        self._whole = _Whole(document, origin)
        self._name, self._error = name, error
        self.root = Part(self._whole, (), document.value)

    def finish(self, kind: str) -> tuple[str, ...]:
        """The names of the fields that are not known. Raises the error that lists all faults, if there are some."""
        if self._whole.faults:
            raise self._error(
                f"{self._name} is no {kind}: {document_paths.join_problems(self._whole.faults)}"
            )
        return tuple(self._whole.unknown)


def scalar(text: str) -> Any:
    """Return what a plain scalar is for the reference, and so for templates and values of others: YAML 1.1's guess."""
    value = spiff_reading.scalar(text)
    return text if isinstance(value, float) and not math.isfinite(value) else value
