"""`clouds`: list the clouds and their interactions, remove clouds, or give up what no teardown can remove."""

from collections.abc import Iterator
from itertools import chain

from tweed_shim.base.lean.typing import Any
from tweed_shim.base.records import fields
from tweed_shim.cli import tables
from tweed_shim.cli.commands import Arguments, Context, Parser
from tweed_shim.errors import UsageError
from tweed_shim.runtime.console import Console
from tweed_shim.shim import Shim
from tweed_shim.tweed import cloud_states
from tweed_shim.tweed.cloud_states import CloudState

COLUMNS = {
    "name": "CLOUD",
    "image": "CONFIGURED FOR",
    "configured": "CONFIGURED",
    "interaction": "INTERACTION",
    "set_up_by": "SET UP BY",
    "set_up": "SET UP",
    "instance": "FOR INSTANCE",
}


def configure_clouds(parser: Parser) -> None:
    """Add the options of `clouds`."""
    tables.configure(parser)
    parser.usage = (
        "tweed-shim clouds [--json] | tweed-shim clouds rm CLOUD... | "
        "tweed-shim clouds forget CLOUD [INTERACTION]"
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=("rm", "forget"),
        help="rm: remove clouds in which nothing is set up. forget: give up an interaction, or a cloud with all of its "
        "interactions, without a teardown; what their images made in the backend stays there",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        complete="cloud words",
        help="the clouds, or a cloud and an interaction",
    )


def clouds_command(arguments: Arguments, context: Context) -> int:
    """List the clouds, remove clouds, or give up a cloud or an interaction."""
    shim = Shim(
        context.settings.root, runtime=context.settings.runtime, console=Console(warn=context.messages.warn)
    )
    if arguments.action == "rm":
        if not arguments.names:
            raise UsageError("'clouds rm' needs the name of a cloud; 'tweed-shim clouds' lists them")
        for name in arguments.names:
            shim.remove_cloud(name)
        return 0
    if arguments.action == "forget":
        if not 1 <= len(arguments.names) <= 2:
            raise UsageError(
                "'clouds forget' takes the name of a cloud and at most one interaction; 'tweed-shim clouds' lists them"
            )
        shim.forget(*arguments.names)
        return 0
    states = shim.clouds()
    rows = [_described(state) for state in states] if arguments.json else [*chain(*map(_lines, states))]
    tables.show(rows, COLUMNS, as_json=arguments.json)
    if not arguments.json:
        for cloud in states:
            for interaction in cloud.setups:
                if interaction.left:
                    context.messages.warn(cloud_states.left_behind_sentence(cloud.name, interaction))
    return 0


def _described(state: CloudState) -> dict[str, Any]:
    return {**fields(state), "setups": [fields(each) for each in state.setups]}


def _lines(state: CloudState) -> Iterator[dict[str, Any]]:
    """Yield the lines of a cloud in the table: one for each interaction, or a single one without interactions."""
    if not state.setups:
        yield fields(state)
    for each in state.setups:
        when = "interrupted" if each.interrupted else each.time
        yield {
            **fields(state),
            "interaction": each.name,
            "set_up_by": each.image,
            "set_up": when,
            "instance": each.instance,
        }
