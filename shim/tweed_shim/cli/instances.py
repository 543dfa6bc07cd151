"""`instances`: list the instances of patterns, show one with its files and credentials, or give one up."""

import sys
from collections.abc import Callable, Mapping

from tweed_shim.base.lean.typing import Any
from tweed_shim.base.records import fields
from tweed_shim.cli import environment_output, tables
from tweed_shim.cli.commands import Arguments, Context, Parser
from tweed_shim.cli.credentials_output import show_recorded
from tweed_shim.errors import UsageError
from tweed_shim.runtime.console import Console
from tweed_shim.shim import Shim
from tweed_shim.tweed import cloud_states, command_lines
from tweed_shim.tweed.cloud_states import InteractionState
from tweed_shim.tweed.instance_states import BindingState, InstanceState

COLUMNS = {
    "name": "INSTANCE",
    "state": "STATE",
    "image": "IMAGE",
    "cloud": "CLOUD",
    "time": "SINCE",
    "bound": "BINDINGS",
}
FIELDS = {
    "name": "instance", "state": "state", "image": "image", "digest": "digest", "cloud": "cloud", "time": "since"
}  # fmt: skip
BINDING_COLUMNS = {"name": "BINDING", "state": "STATE", "time": "SINCE", "command": "END IT WITH"}
FILE_COLUMNS = {"name": "FILE", "size": "BYTES", "note": "NOTE", "summary": "SUMMARY"}
LEFT_COLUMNS = {"name": "LEFT BEHIND", "operation": "BY", "command": "END IT WITH"}
CHUNK = 1 << 20


def configure_instances(parser: Parser) -> None:
    """Add the options of `instances`."""
    tables.configure(parser)
    parser.intermixed = True
    parser.usage = (
        "tweed-shim instances [--json] | tweed-shim instances show ID [--json] | "
        "tweed-shim instances files ID [NAME] | "
        "tweed-shim instances credentials ID [BINDING] [--format FORMAT] | tweed-shim instances forget ID"
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=tuple(ACTIONS),
        help="show: state, bindings and files of an instance. files: list the files that its provision left, or print "
        "one. credentials: print those of a binding again (default: of the binding 'default'). forget: give an "
        "instance up without its image; what that deployed stays there",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="ID",
        complete="instance words",
        help="the instance, then a file or a binding",
    )
    parser.add_argument(
        "--format",
        choices=environment_output.FORMATS,
        help=f"credentials: how they are printed: {environment_output.FORMATS_HELP}",
    )
    environment_output.configure_allow(parser, "credentials: ")


def instances_command(arguments: Arguments, context: Context) -> int:
    """List the instances, or show one, its files or its credentials, or give it up."""
    shim = Shim(
        context.settings.root, runtime=context.settings.runtime, console=Console(warn=context.messages.warn)
    )
    if arguments.action != "credentials" and (arguments.format is not None or arguments.allow):
        raise UsageError("--format and --allow go with 'instances credentials'")
    if arguments.action is None:
        _list(shim, arguments, context)
        return 0
    call, most = ACTIONS[arguments.action]
    if not 1 <= len(arguments.names) <= most:
        what = "the name of an instance" if most == 1 else "the name of an instance and at most one more"
        raise UsageError(
            f"'instances {arguments.action}' takes {what}; 'tweed-shim instances' lists the instances"
        )
    call(shim, arguments)
    return 0


def _list(shim: Shim, arguments: Arguments, context: Context) -> None:
    states = shim.instances()
    if arguments.json:
        tables.show([_described(state) for state in states], COLUMNS, as_json=True)
        return
    rows = [{**fields(state), "bound": [_marked(each) for each in state.bindings]} for state in states]
    tables.show(rows, COLUMNS, as_json=False)
    for cloud, interaction in cloud_states.left_behind(context.settings.root):
        context.messages.warn(cloud_states.left_behind_sentence(cloud, interaction))


def _marked(binding: BindingState) -> str:
    return binding.name if binding.state == "ready" else f"{binding.name} ({binding.state})"


def _described(state: InstanceState) -> dict[str, Any]:
    return {**fields(state), "bindings": [fields(each) for each in state.bindings]}


def _show(shim: Shim, arguments: Arguments) -> None:
    instance = shim.instance(arguments.names[0])
    # The files first: they raise the error about a damaged record, which the state only warns of.
    files = instance.files()
    state = instance.state()
    left = [
        _left(*each)
        for each in cloud_states.left_behind(shim.settings.root)
        if each[1].instance == state.name
    ]
    if arguments.json:
        more = {"files": [fields(each) for each in files], "left_behind": left}
        tables.show_one({**_described(state), **more})
        return
    described = fields(state)
    tables.show_fields(
        {title: described[name] for name, title in FIELDS.items()}
        | {"end it with": command_lines.deprovision(state.image, state.name)}
    )
    for columns, rows in (
        (BINDING_COLUMNS, [_ending(each, state) for each in state.bindings]),
        (FILE_COLUMNS, [fields(each) for each in files]),
        (LEFT_COLUMNS, left),
    ):
        if rows:
            sys.stdout.write("\n")
            tables.show(rows, columns, as_json=False)


def _ending(binding: BindingState, instance: InstanceState) -> dict[str, Any]:
    command = command_lines.unbind(instance.image, instance.name, binding.name)
    return {**fields(binding), "command": command}


def _left(cloud: str, interaction: InteractionState) -> dict[str, str]:
    return {
        "name": interaction.name,
        "cloud": cloud,
        "operation": interaction.operation,
        "command": command_lines.teardown(interaction.image, cloud, interaction.name),
    }


def _files(shim: Shim, arguments: Arguments) -> None:
    instance = shim.instance(arguments.names[0])
    if len(arguments.names) == 1:
        tables.show([fields(each) for each in instance.files()], FILE_COLUMNS, as_json=arguments.json)
        return
    with instance.open_file(arguments.names[1]) as file:
        while data := file.read(CHUNK):
            sys.stdout.buffer.write(data)


def _credentials(shim: Shim, arguments: Arguments) -> None:
    instance, binding = (*arguments.names, "default")[:2]
    if arguments.json:
        arguments.format = "json"
    show_recorded(shim.instance(instance).credentials(binding), instance, binding, arguments)


def _forget(shim: Shim, arguments: Arguments) -> None:
    shim.instance(arguments.names[0]).forget()


# What the words after `instances` do, and how many names they take at most.
ACTIONS: Mapping[str, tuple[Callable[[Shim, Arguments], None], int]] = {
    "show": (_show, 1),
    "files": (_files, 2),
    "credentials": (_credentials, 2),
    "forget": (_forget, 1),
}
