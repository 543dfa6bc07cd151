"""Read a specification, which is a map in a YAML document, and collect all its faults with their paths and lines."""

import math
from collections.abc import Iterator
from typing import Any

from tweed_shim.data import document_paths, documents
from tweed_shim.data.documents import Document
from tweed_shim.errors import ShimError
from tweed_shim.spiff.tree import reading as spiff_reading

Path = tuple[str | int, ...]


class Field:
    """A value of a specification, with its path.

    A method that finds a value of the wrong kind notes a fault and returns an empty value, so that reading goes on and
    all faults are reported together.
    """

    def __init__(self, findings: "_Findings", path: Path, value: Any) -> None:
        self._findings = findings
        self._path = path
        self.value = value

    def fault(self, problem: str, *beyond: str | int) -> None:
        """Note a fault of this value, or of the one at the path `beyond` in it."""
        self._findings.faults.append(f"{self._findings.location((*self._path, *beyond))} {problem}")

    def with_value(self, value: Any) -> "Field":
        """Return a field with the same path and another value."""
        return Field(self._findings, self._path, value)

    def entries(self, *, empty: bool = False) -> dict[str, "Field"]:
        """Return the entries of a map. One that is null is left out, or with `empty` is an empty map."""
        if not isinstance(self.value, dict):
            self.fault("must be a map")
            return {}
        return {
            key: Field(self._findings, (*self._path, key), {} if value is None else value)
            for key, value in self.value.items()
            if value is not None or empty
        }

    def fields(self, *known: str) -> dict[str, "Field"]:
        """Return the entries of a map that has the fields `known`; others are noted as unknown."""
        entries = self.entries()
        self._findings.unknown += [
            document_paths.path_name((*self._path, name)) for name in entries if name not in known
        ]
        return entries

    def items(self) -> Iterator["Field"]:
        """Yield the values of a list."""
        if not isinstance(self.value, list):
            self.fault("must be a list")
            return
        for index, value in enumerate(self.value):
            yield Field(self._findings, (*self._path, index), value)

    def text(self) -> str:
        """Return a scalar as it was written."""
        written = None if self.value is None else self._findings.document.text(self._path)
        if written is None:
            self.fault("must be text")
        return written or ""

    def text_map(self, *, empty: bool = False) -> dict[str, str]:
        """Return a map of texts. An entry that is null is left out, or with `empty` is an empty text."""
        entries = self.entries(empty=empty)
        return {key: "" if self.value[key] is None else each.text() for key, each in entries.items()}

    def boolean(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            self.fault("must be true or false")
        return self.value is True


class _Findings:
    """The faults and the unknown fields of a document, collected while it is read."""

    def __init__(self, document: Document, origin: str | None) -> None:
        self.document = document
        self.faults: list[str] = []
        self.unknown: list[str] = []
        self._origin = origin

    def location(self, path: Path) -> str:
        """Return a path for people, with its line where that is known."""
        if self._origin is None:
            return self.document.location(path)
        try:
            return documents.load(self._origin, name="", as_text=True).location(path)
        except ShimError:
            # A template may hold what plain data cannot: a tag, or a key twice.
            return document_paths.path_name(path)


class Specification:
    """A document whose map `root` is read; `finish` then raises its faults.

    The constructor raises `error` where the document is not YAML. origin: the text of the template that `data` was made
    from; faults then name its lines.
    """

    def __init__(self, data: bytes, name: str, error: type[ShimError], *, origin: str | None = None) -> None:
        document = documents.load(data, name=name, error=error, scalar=parse_scalar)
        self._findings = _Findings(document, origin)
        self._name, self._error = name, error
        self.root = Field(self._findings, (), document.value)

    def finish(self, kind: str) -> tuple[str, ...]:
        """Return the names of the unknown fields. Raises an error that lists all faults, where there are any."""
        if self._findings.faults:
            faults = document_paths.join_problems(self._findings.faults)
            raise self._error(f"{self._name} is no {kind}: {faults}")
        return tuple(self._findings.unknown)


def parse_scalar(text: str) -> Any:
    """Return what a plain scalar means in YAML 1.1, which the reference reads; infinity and NaN stay text."""
    value = spiff_reading.scalar(text)
    return text if isinstance(value, float) and not math.isfinite(value) else value
