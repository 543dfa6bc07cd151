"""What can go wrong, one class for each kind of cause.

Every message is one sentence for a person: it names the thing, says what is wrong with it and what to do
next. It never holds a secret. The command line prints it behind `tweed-shim: ` and leaves with `exit_code`.
"""

from collections.abc import Mapping, Sequence

from tweed_shim.lean.typing import Any


class ShimError(Exception):
    """The shim refused or failed; the base of every error that this package raises on purpose.

    It can be copied and pickled with all its fields, so that it reaches the caller out of a worker process.
    """

    exit_code = 125

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how it is copied and pickled: the message, then the fields, without a call of the constructor.

        What `Exception` does instead calls the constructor with the message alone, which fails where a class wants
        more: `multiprocessing.Pool` then waits for ever for the result that it could not read.
        """
        return _restore, (type(self), *self.args), self.__dict__


def _restore(kind: type[ShimError], *args: object) -> ShimError:
    """Make an error with its message and no other fields."""
    return kind.__new__(kind, *args)


class UsageError(ShimError):
    """The command line cannot be parsed."""

    exit_code = 2


class BadReference(ShimError):
    """An image reference is malformed; the message names the offending part."""


class BadUrl(ShimError):
    """A URL is malformed, or parsers disagree about it; the message is the reason alone, as a URL may hold a secret."""


class BadVersion(ShimError):
    """A version, or a constraint on versions, cannot be read; `reason` says why, without naming the text."""

    def __init__(self, text: str, reason: str) -> None:
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        super().__init__(f"{shown!r} is no version or constraint that can be read: {reason}")
        self.reason = reason


class RegistryError(ShimError):
    """A registry could not be reached, refused, or answered with what is not to be believed."""


class PullTimedOut(RegistryError):
    """An image was not pulled within the time that the caller gave it."""

    exit_code = 124


class ImageError(ShimError):
    """An image (manifest, configuration, layer) is not one that can be run."""


class ComponentError(ShimError):
    """A component version, or the repository that it is kept in, is not there or not what it should be."""


class Unverifiable(ComponentError):
    """Something that a signature covers could not be compared with what was signed."""


class ContractError(ShimError):
    """An image broke the contract it claims to speak."""


class SteeringVariable(ShimError):
    """An environment names variables that steer a shell, and was to be printed in a format that is evaluated.

    names: all of these variables. fault: the sentence without what can be done about it.
    """

    def __init__(self, fault: str, remedy: str, names: Sequence[str]) -> None:
        super().__init__(f"{fault}: {remedy}")
        self.fault = fault
        self.names = tuple(names)


class OutputsLost(ContractError):
    """A TOI executor carried its action out, but not all of its outputs can be kept; `outputs` are the others."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.outputs: Mapping[str, bytes] = {}


class ConfigError(ShimError):
    """What the operator supplied (configuration, file, option) breaks its schema or cannot be read."""


class StateError(ShimError):
    """The operation does not fit what is recorded: an unconfigured cloud, an interaction already set up."""


class DamagedRecord(StateError):
    """A file in which the store notes something is not what was written there; the message names the file."""


class HostError(ShimError):
    """The host lacks something that is needed: a program, a kernel feature, a permission, disk space."""


class NotRecorded(HostError):
    """A setup has succeeded, and the disk refuses to have it recorded; `environment` is what the image printed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.environment: Mapping[str, str] = {}


class OperationFailed(ShimError):
    """The image ended with a code that is not 0, or by a signal.

    `exit_code` is the image's own code, or 128+N where signal N ended it. `run` names the run for `logs`. `outputs` are
    those that a TOI executor wrote nevertheless.
    """

    def __init__(self, message: str, *, exit_code: int, run: str) -> None:
        super().__init__(message)
        self.outputs: Mapping[str, bytes] = {}
        self.exit_code = exit_code
        self.run = run


class TimedOut(ShimError):
    """The image was ended because its time was up, or templates were before it: then `run` is empty.

    `run` and `outputs` are as in OperationFailed.
    """

    exit_code = 124

    def __init__(self, message: str, *, run: str) -> None:
        super().__init__(message)
        self.outputs: Mapping[str, bytes] = {}
        self.run = run
