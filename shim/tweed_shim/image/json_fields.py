"""Reads untrusted JSON documents within limits: manifests, indexes, configurations.

Every fault is an ImageError that names the document, the field and the problem.
"""

from tweed_shim.base.lean import json
from tweed_shim.base.lean.typing import Any, NoReturn
from tweed_shim.base.records import Record
from tweed_shim.errors import ImageError

# The largest manifest, index, configuration or list of credentials that is read whole.
MAX_DOCUMENT = 4 << 20


class Document(Record):
    """A JSON object. what: the document, and the field of it, in errors. A null field counts as absent."""

    what: str
    fields: dict[str, Any]

    def wrong(self, key: str, fault: str) -> NoReturn:
        """Raise the ImageError for a field. fault: follows its name, as in `is not a list`."""
        raise ImageError(f"{self.what} is malformed: {key} {fault}; build or push the image again")

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string without NUL. default: for an absent field; without it an absent field is an error."""
        value = self.fields.get(key)
        if value is None and default is not None:
            return default
        return self._checked_text(key, value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings; empty where the field is absent."""
        return tuple(
            self._checked_text(f"{key}[{number}]", value) for number, value in enumerate(self._list(key))
        )

    def number(self, key: str, largest: int) -> int:
        """Return a whole number from 0 to `largest`."""
        value = self.fields.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
            self.wrong(key, f"is not a whole number from 0 to {largest}")
        return value

    def child(self, key: str) -> "Document":
        """Return the object in a field; an empty one where the field is absent."""
        value = self.fields.get(key)
        return self._object(key, {} if value is None else value)

    def children(self, key: str) -> tuple["Document", ...]:
        """Return the list of objects in a field; empty where the field is absent."""
        return tuple(self._object(f"{key}[{number}]", value) for number, value in enumerate(self._list(key)))

    def _checked_text(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            self.wrong(key, "is not a text")
        if "\0" in value:
            self.wrong(key, "holds a NUL character")
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            self.wrong(key, "is not valid Unicode")
        return value

    def _list(self, key: str) -> list[Any]:
        value = self.fields.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong(key, "is not a list")
        return value

    def _object(self, key: str, value: object) -> "Document":
        if not isinstance(value, dict):
            self.wrong(key, "is not an object")
        return Document(f"{self.what}, {key}", value)


def load(body: bytes, what: str) -> Any:
    """Parse JSON of at most 4 MiB. what: the name of the document in errors. Raises ImageError."""
    if len(body) > MAX_DOCUMENT:
        raise ImageError(f"{what} is larger than 4 MiB, which is the most that is read; use another image")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ImageError(
            f"{what} is not JSON ({type(error).__name__}); push or build the image again"
        ) from error


def parse(body: bytes, what: str) -> Document:
    """Parse a JSON object. what: the name of the document in errors. Raises ImageError."""
    value = load(body, what)
    if not isinstance(value, dict):
        raise ImageError(f"{what} is not a JSON object; push or build the image again")
    return Document(what, value)
