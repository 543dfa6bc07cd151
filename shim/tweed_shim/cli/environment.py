"""`environment`: print again the environment that the setup of an interaction printed."""

from tweed_shim.cli import environment_output
from tweed_shim.cli.commands import Arguments, Context, Parser
from tweed_shim.runtime.console import Console
from tweed_shim.shim import Shim


def configure_environment(parser: Parser) -> None:
    """Add the options of `environment`."""
    parser.add_argument(
        "--cloud", metavar="NAME", complete="clouds", default="default", help="the cloud (default: default)"
    )
    parser.add_argument(
        "--interaction",
        metavar="ID",
        complete="interactions",
        default="default",
        help="the interaction (default: default)",
    )
    parser.add_argument(
        "--format",
        choices=environment_output.FORMATS,
        default="yaml",
        help=f"how it is printed: {environment_output.FORMATS_HELP}",
    )
    environment_output.configure_allow(parser)


def environment_command(arguments: Arguments, context: Context) -> int:
    """Print the environment of an interaction."""
    settings = context.settings
    shim = Shim(settings.root, runtime=settings.runtime, console=Console(warn=context.messages.warn))
    environment_output.show_recorded(shim.environment(arguments.cloud, arguments.interaction), arguments)
    return 0
