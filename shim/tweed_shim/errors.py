"""The errors of the package, one class for each kind of cause.

A message is one sentence: what happened: why; do this. It names the image, the file, the cloud or the option, and never
contains a secret. The command line prints it after `tweed-shim: ` and exits with `exit_code`.
"""

from collections.abc import Mapping, Sequence

from tweed_shim.base.lean.typing import Any


class ShimError(Exception):
    """The shim refused or failed: the base class of all errors that this package raises on purpose.

    It can be copied and pickled with all its fields, so that a worker process can pass it to its caller. `killed`:
    whether the image was killed (SIGKILL), so that it could neither fail nor clean up by itself. `never_ran`: no
    program of the image was started.
    """

    exit_code = 125
    killed = False
    never_ran = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to copy and pickle the error: its message and its fields, without a call of the constructor.

        `Exception.__reduce__` calls the constructor with the message alone, which fails for a class with more
        parameters: `multiprocessing.Pool` then waits for ever for a result that it cannot read.
        """
        return _restore, (type(self), *self.args), self.__dict__


def _restore(kind: type[ShimError], *args: object) -> ShimError:
    """Create an error with its message and no other fields."""
    return kind.__new__(kind, *args)


class UsageError(ShimError):
    """The command line cannot be parsed."""

    exit_code = 2


class BadReference(ShimError):
    """An image reference is malformed; the message names the offending part."""


class BadUrl(ShimError):
    """A URL is malformed, or ambiguous; the message is the reason alone, as a URL may contain a secret."""


class BadVersion(ShimError):
    """A version or a version constraint cannot be parsed; `reason` says why, without the text."""

    def __init__(self, text: str, reason: str) -> None:
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        super().__init__(f"{shown!r} is no version or constraint that can be read: {reason}")
        self.reason = reason


class RegistryError(ShimError):
    """A registry cannot be reached, refuses a request, or sends an answer that breaks the protocol."""


class PullTimedOut(RegistryError):
    """A pull took longer than its timeout."""

    exit_code = 124


class ImageError(ShimError):
    """An image cannot be run: its manifest, its configuration or a layer is invalid or unsafe."""


class ComponentError(ShimError):
    """A component version or its repository is missing or invalid."""


class Unverifiable(ComponentError):
    """Content that a signature covers cannot be compared with the signed digest."""


class ContractError(ShimError):
    """An image broke the contract that it implements."""


class RefusedFormat(UsageError):
    """An environment, or credentials, were to be printed in a format that cannot hold them.

    fault: the message without its last part, which says what to do.
    """

    exit_code = 125

    def __init__(self, fault: str, remedy: str) -> None:
        super().__init__(f"{fault}: {remedy}")
        self.fault = fault


class SteeringVariable(RefusedFormat):
    """An environment with variables that steer a shell was to be printed in a format that a shell evaluates.

    names: all of these variables.
    """

    def __init__(self, fault: str, remedy: str, names: Sequence[str]) -> None:
        super().__init__(fault, remedy)
        self.names = tuple(names)


class OutputsLost(ContractError):
    """A TOI executor succeeded, but some of its outputs cannot be kept; `outputs` are the others."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.outputs: Mapping[str, bytes] = {}


class ConfigError(ShimError):
    """A configuration, a file or an option of the operator is invalid or cannot be read."""


class StateError(ShimError):
    """The operation does not fit the state of the store, such as a cloud that is not configured."""


class DamagedRecord(StateError):
    """A record of the store is damaged; the message names its file."""


class HostError(ShimError):
    """The host lacks a program, a kernel feature, a permission, disk space or memory."""


class NotRecorded(HostError):
    """A setup has succeeded, but the disk refuses its record; `environment` is what the image printed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.environment: Mapping[str, str] = {}


class OperationFailed(ShimError):
    """The image exited with a code other than 0, or was killed by a signal.

    `exit_code` is the code of the image, or 128+N for signal N. `run` is the number of the run for `logs`. `outputs`
    are those that a TOI executor wrote nevertheless. `given_up`: the caller sent a second signal, and waits for nothing
    any more.
    """

    def __init__(self, message: str, *, exit_code: int, run: str) -> None:
        super().__init__(message)
        self.outputs: Mapping[str, bytes] = {}
        self.given_up = False
        self.exit_code = exit_code
        self.run = run


class TimedOut(ShimError):
    """A run, or the templates before it, took longer than the timeout; `run` is empty for templates.

    `run` and `outputs` are as in OperationFailed.
    """

    exit_code = 124

    def __init__(self, message: str, *, run: str) -> None:
        super().__init__(message)
        self.outputs: Mapping[str, bytes] = {}
        self.run = run
