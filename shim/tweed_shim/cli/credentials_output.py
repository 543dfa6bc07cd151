"""Print the credentials of a binding: for `exec IMAGE bind` and `instances credentials`."""

from collections.abc import Mapping

from tweed_shim.base.lean.typing import Any
from tweed_shim.cli import environment_output
from tweed_shim.cli.commands import Arguments
from tweed_shim.errors import ConfigError, HostError, SteeringVariable, UsageError


def show(credentials: Mapping[str, Any], arguments: Arguments) -> None:
    """Print credentials in the format of `--format`.

    Raises UsageError where the format cannot hold them, SteeringVariable, and HostError where stdout fails.
    """
    from tweed_shim.tweed.credentials import render

    environment_output.write(render(credentials, arguments.format or "yaml", allow=arguments.allow))


def show_recorded(credentials: Mapping[str, Any], instance: str, binding: str, arguments: Arguments) -> None:
    """Print the credentials of a binding that was made before. Raises HostError, ConfigError and UsageError."""
    try:
        show(credentials, arguments)
    except SteeringVariable as error:
        raise ConfigError(_refused(error, instance, binding, arguments)) from error


def show_new(credentials: Mapping[str, Any], instance: str, binding: str, arguments: Arguments) -> None:
    """Print the credentials of a binding that has just been made.

    Raises HostError or ConfigError, which say that the binding is made and how to print its credentials.
    """
    made = (
        f"binding '{binding}' is made all the same: print its credentials with 'tweed-shim instances credentials "
        f"{instance} {binding}', or end it with: tweed-shim exec {arguments.image} unbind --instance {instance} "
        f"--binding {binding}"
    )
    try:
        show(credentials, arguments)
    except BrokenPipeError as error:
        raise HostError(f"the reader of the output has gone; {made}") from error
    except SteeringVariable as error:
        raise ConfigError(f"{_refused(error, instance, binding, arguments)}; {made}") from error
    except UsageError as error:
        raise ConfigError(f"{error}; {made}") from error
    except HostError as error:
        raise HostError(f"{error}; {made}") from error


def _refused(error: SteeringVariable, instance: str, binding: str, arguments: Arguments) -> str:
    """Return the message for a refused format, with the command that prints it nevertheless."""
    return (
        f"{error.fault}: use --format yaml or json, or if you mean it: tweed-shim instances credentials {instance} "
        f"{binding} --format {arguments.format} {environment_output.allowed(error)}"
    )
