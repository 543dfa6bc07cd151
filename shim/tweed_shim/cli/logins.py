"""The commands `login` and `logout`, for registries."""

import os
import sys

from tweed_shim.base import files
from tweed_shim.cli import server_options
from tweed_shim.cli.commands import Arguments, Context, Parser
from tweed_shim.errors import ConfigError, UsageError
from tweed_shim.http.connect_options import ConnectOptions

MAX_PASSWORD = 1 << 20


def configure_login(parser: Parser) -> None:
    """Add the options of `login`."""
    parser.add_argument("registry", metavar="REGISTRY", help="HOST[:PORT]")
    parser.add_argument(
        "-u", "--username", metavar="NAME", help="the user name; without it, the terminal asks for it"
    )
    parser.add_argument("--password-stdin", action="store_true", help="read the password from stdin")
    server_options.configure(parser)


def _ask(arguments: Arguments) -> tuple[str, str]:
    if arguments.password_stdin:
        if not arguments.username:
            raise UsageError("--password-stdin needs a user name; add --username NAME")
        data = files.read_bounded(sys.stdin.buffer, MAX_PASSWORD, "the password on stdin")
        try:
            return arguments.username, data.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise ConfigError("the password on stdin is not UTF-8 text; encode it as UTF-8") from None
    if not os.isatty(0):
        raise UsageError("there is no terminal to ask for the password; use --username NAME --password-stdin")
    import getpass

    username = arguments.username or input("Username: ")
    return username, getpass.getpass("Password: ")


def login_command(arguments: Arguments, context: Context) -> int:
    """Log in to a registry and store the credentials."""
    from tweed_shim.image import login

    username, password = _ask(arguments)
    connect = ConnectOptions(**server_options.options(arguments))
    storage = login.login(arguments.registry, username, password, connect=connect)
    context.messages.warn(f"logged in to {arguments.registry}; the login is stored in {storage}")
    return 0


def configure_logout(parser: Parser) -> None:
    """Add the options of `logout`."""
    parser.add_argument("registry", metavar="REGISTRY", help="HOST[:PORT]")


def logout_command(arguments: Arguments, context: Context) -> int:
    """Remove the stored credentials for a registry."""
    from tweed_shim.image import login

    removed = login.logout(arguments.registry)
    context.messages.warn(f"{'removed the' if removed else 'there was no'} login to {arguments.registry}")
    return 0
