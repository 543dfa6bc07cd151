"""For property tests: what refuses is told apart from what breaks."""

from collections.abc import Callable

from tweed_shim.errors import ShimError


def refusal(action: Callable[[], object], kind: type[ShimError]) -> str | None:
    """The sentence with which an action refuses, None where it does not; any other exception goes through."""
    try:
        action()
    except kind as error:
        return str(error)
    return None


def throw(error: BaseException) -> None:
    """Raise an error: here, where another process can import it from."""
    raise error
