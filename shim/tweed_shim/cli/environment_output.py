"""Options for printing an environment, and the printing itself: for `exec IMAGE setup` and `environment`.

On the path of a warm `exec`: it imports little.
"""

import sys
from collections.abc import Mapping

from tweed_shim.cli.commands import Arguments, Parser, wrong_value
from tweed_shim.errors import ConfigError, HostError, SteeringVariable

# Those of tweed/environment.py, which is imported only when there is an environment to print; a test holds them equal.
FORMATS = ("yaml", "json", "dotenv", "shell", "fish")
FORMATS_HELP = (
    "shell is for sh, bash, dash, busybox, ksh and zsh, fish for fish, dotenv has the dialect of python-dotenv "
    "(default: yaml)"
)
# As many names as the sentence before the command has.
_MOST_NAMED = 5


def configure_allow(parser: Parser, operation: str = "") -> None:
    """The option `--allow`. operation: what its help begins with."""
    parser.add_argument(
        "--allow",
        metavar="NAME",
        action="append",
        default=[],
        type=_variable,
        help=f"{operation}print this variable with --format shell, fish or dotenv although it steers a shell or the "
        "programs that a shell starts, such as PATH; may be repeated (docs/environment.md lists these names)",
    )


def _variable(text: str) -> str:
    if not (text.isascii() and text.isidentifier()):
        raise wrong_value(
            f"{text!r} is not the name of a variable: give one name, and the option again for each other"
        )
    return text


def show_new(environment: Mapping[str, str], interaction: str, arguments: Arguments) -> None:
    """Print the environment of an interaction that has just been set up.

    Where that fails, the message says that the interaction is set up and how its environment can be seen.
    """
    try:
        show(environment, arguments)
    except BrokenPipeError as error:
        raise HostError(
            f"nobody reads the output any more; {_still_set_up(interaction, arguments)}"
        ) from error
    except SteeringVariable as error:
        raise ConfigError(
            f"{_refused(error, interaction, arguments)}; {_still_set_up(interaction, arguments)}"
        ) from error
    except HostError as error:
        raise HostError(f"{error}; {_still_set_up(interaction, arguments)}") from error


def _still_set_up(interaction: str, arguments: Arguments) -> str:
    """Say that the interaction is set up, and what can be done."""
    where = _where(interaction, arguments)
    return (
        f"interaction '{interaction}' is set up all the same: see its environment with 'tweed-shim environment "
        f"{where}', or tear it down with: tweed-shim exec {arguments.image} teardown {where}"
    )


def _where(interaction: str, arguments: Arguments) -> str:
    return f"--cloud {arguments.cloud} --interaction {interaction}"


def _refused(error: SteeringVariable, interaction: str, arguments: Arguments) -> str:
    """Say why a format was refused, with the command that prints it nevertheless."""
    allowed = " ".join(f"--allow {name}" for name in error.names[:_MOST_NAMED])
    if len(error.names) > _MOST_NAMED:
        allowed += " ..."
    return (
        f"{error.fault}: use --format yaml or json, or if you mean it: tweed-shim environment "
        f"{_where(interaction, arguments)} --format {arguments.format} {allowed}"
    )


def show_recorded(environment: Mapping[str, str], arguments: Arguments) -> None:
    """Print the environment of an interaction that was set up before. Raises HostError and ConfigError."""
    try:
        show(environment, arguments)
    except SteeringVariable as error:
        raise ConfigError(_refused(error, arguments.interaction, arguments)) from error


def show(environment: Mapping[str, str], arguments: Arguments) -> None:
    """Print an environment as the options say. Raises HostError where it cannot be written, and SteeringVariable."""
    from tweed_shim.tweed.environment import render

    write(render(environment, arguments.format or "yaml", allow=arguments.allow))


def write(text: str) -> None:
    """Print a text, all of it by the time this returns."""
    sys.stdout.write(text)
    sys.stdout.flush()
