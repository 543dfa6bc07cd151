"""The result of a setup: the environment of an interaction."""

from collections.abc import Iterator, Mapping

from tweed_shim.base.lean.typing import Protocol


class TornDown(Protocol):
    """What can tear an interaction down: a backend."""

    def teardown(self, interaction: str = "default") -> None:
        """Tear an interaction down."""


class Setup(Mapping[str, str]):
    """The environment of an interaction that is set up: a mapping of names to values.

    As a context manager it tears the interaction down at the end of the block.
    """

    def __init__(self, backend: TornDown, interaction: str, environment: dict[str, str]) -> None:
        self.interaction = interaction
        self._backend = backend
        self._environment = environment

    def __getitem__(self, name: str) -> str:
        """Return the value of a variable."""
        return self._environment[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in the order in which the image printed them."""
        return iter(self._environment)

    def __len__(self) -> int:
        """Return the number of variables."""
        return len(self._environment)

    def __enter__(self) -> "Setup":
        """Return the environment itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Tear the interaction down. Raises what `Backend.teardown` raises."""
        self._backend.teardown(self.interaction)
