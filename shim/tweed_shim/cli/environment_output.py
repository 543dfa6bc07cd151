"""Options for printing an environment, and the printing itself: for `exec IMAGE setup` and `environment`.

On the path of a warm `exec`: it imports little.
"""

import sys
from collections.abc import Mapping

from tweed_shim.cli.commands import Arguments, Parser, wrong_value
from tweed_shim.errors import HostError, ShimError, SteeringVariable

# Those of tweed/environment.py, which is imported only when there is an environment to print; a test holds them equal.
FORMATS = ("yaml", "json", "dotenv", "shell", "fish")
FORMATS_HELP = (
    "shell is for sh, bash, dash, busybox, ksh and zsh, fish for fish, dotenv has the dialect of python-dotenv "
    "(default: yaml)"
)


def configure_allow(parser: Parser, operation: str = "") -> None:
    """Return the option `--allow`. operation: what its help begins with."""
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
        raise _not_printed(HostError("nobody reads the output any more"), interaction, arguments) from error
    except (HostError, SteeringVariable) as error:
        raise _not_printed(error, interaction, arguments) from error


def _not_printed(error: ShimError, interaction: str, arguments: Arguments) -> ShimError:
    """Return an error of the same class which also says that the interaction is set up, and what can be done."""
    where = f"--cloud {arguments.cloud} --interaction {interaction}"
    return type(error)(
        f"{error}; interaction '{interaction}' is set up all the same: see its environment with "
        f"'tweed-shim environment {where}', or tear it down with: tweed-shim exec {arguments.image} teardown {where}"
    )


def show(environment: Mapping[str, str], arguments: Arguments) -> None:
    """Print an environment as the options say. Raises HostError where it cannot be written, and SteeringVariable."""
    from tweed_shim.tweed.environment import render

    write(render(environment, arguments.format or "yaml", allow=arguments.allow))


def write(text: str) -> None:
    """Print a text, all of it by the time this returns."""
    sys.stdout.write(text)
    sys.stdout.flush()
