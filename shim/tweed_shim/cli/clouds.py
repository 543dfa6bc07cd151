"""`clouds`: what is configured and set up."""

from tweed_shim.cli import tables
from tweed_shim.cli.commands import Arguments, Context, Parser
from tweed_shim.errors import UsageError
from tweed_shim.records import fields
from tweed_shim.runtime.container import Console
from tweed_shim.shim import Shim

COLUMNS = {
    "name": "CLOUD",
    "image": "CONFIGURED FOR",
    "configured": "CONFIGURED",
    "interactions": "INTERACTIONS",
}


def configure_clouds(parser: Parser) -> None:
    """The options of `clouds`."""
    tables.configure(parser)
    parser.usage = "tweed-shim clouds [--json] | tweed-shim clouds rm NAME..."
    parser.add_argument("action", nargs="?", choices=("rm",), help="remove clouds instead")
    parser.add_argument("names", nargs="*", metavar="NAME", help="the clouds to remove")


def clouds_command(arguments: Arguments, context: Context) -> int:
    """List the clouds, or remove some."""
    shim = Shim(
        context.settings.root, runtime=context.settings.runtime, console=Console(warn=context.voice.warn)
    )
    if arguments.action == "rm":
        if not arguments.names:
            raise UsageError("'clouds rm' needs the name of a cloud")
        for name in arguments.names:
            shim.remove_cloud(name)
        return 0
    tables.show([fields(state) for state in shim.clouds()], COLUMNS, as_json=arguments.json)
    return 0
