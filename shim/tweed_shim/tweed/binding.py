"""The result of a bind: the credentials of a binding."""

from collections.abc import Iterator, Mapping

from tweed_shim.base.lean.typing import Any, Protocol


class Unbinds(Protocol):
    """What can unbind a binding: a pattern."""

    def unbind(self, instance: str = "default", binding: str = "default") -> None:
        """Unbind a binding."""


class Binding(Mapping[str, Any]):
    """The credentials of a binding: a mapping of names to values, which may be nested.

    instance, name: which binding it is. As a context manager it unbinds at the end of the block.
    """

    def __init__(self, pattern: Unbinds, instance: str, name: str, credentials: dict[str, Any]) -> None:
        self.instance = instance
        self.name = name
        self._pattern = pattern
        self._credentials = credentials

    def __getitem__(self, name: str) -> Any:
        """Return a value."""
        return self._credentials[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in the order in which the image printed them."""
        return iter(self._credentials)

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self._credentials)

    def __repr__(self) -> str:
        """Return the names, without the values, which are secrets."""
        return f"Binding({self.instance!r}, {self.name!r}, {list(self._credentials)})"

    def __enter__(self) -> "Binding":
        """Return the credentials themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unbind. Raises what `Pattern.unbind` raises."""
        self._pattern.unbind(self.instance, self.name)
