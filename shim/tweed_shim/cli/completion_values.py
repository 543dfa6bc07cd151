"""The values that the completion proposes: names from the store, and paths.

They are only read: nothing is created, repaired or reported.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tweed_shim.base.records import Record
from tweed_shim.base.settings import expand_home

# What a name in the help says about a value, where its declaration says no more.
BY_METAVAR = {
    **dict.fromkeys(
        ("FILE", "PATH", "STUB", "TEMPLATE", "DOCUMENT", "COMPONENT", "TARGET", "REPOSITORY"), "files"
    ),
    "DIR": "directories",
    "IMAGE": "images",
    "CAP": "capabilities",
}
# The shells complete these themselves.
FILES, DIRECTORIES = "files", "directories"
_TRANSPORTS = {
    "oci:": "an OCI image layout, a directory",
    "oci-archive:": "an OCI image layout in a tar file",
    "docker-archive:": "what 'docker save' writes",
}
_NEWEST_RUNS = 50

Value = tuple[str, str]
"""A text that can stand there, and what it means, or nothing."""


class Line(Record):
    """A command line up to the word that is completed: the store, the words of the command, and their values.

    command: its name, and that of its subcommand. words: the positional arguments. options: the last value of each
    option, by its name in the namespace of argparse.
    """

    root: str
    command: tuple[str, ...]
    words: Sequence[str]
    options: Mapping[str, str]


def _images(line: Line) -> Iterator[Value]:
    yield from _stored_images(line)
    yield from _TRANSPORTS.items()


def _stored_images(line: Line) -> Iterator[Value]:
    from tweed_shim.image import store

    for record in store.records(line.root, _ignore):
        yield record.reference, record.platform


def _clouds(line: Line) -> Iterator[Value]:
    from tweed_shim.tweed import cloud_states

    for state in cloud_states.states(line.root):
        yield state.name, state.image


def _interactions(line: Line, cloud: str = "") -> Iterator[Value]:
    from tweed_shim.tweed import cloud_states

    chosen = cloud or line.options.get("cloud", "default")
    for state in cloud_states.states(line.root):
        if state.name == chosen:
            yield from ((each.name, each.image) for each in state.setups)


def _cloud_words(line: Line) -> Iterable[Value]:
    action, *names = line.words
    if action == "rm" or not names:
        return _clouds(line)
    return _interactions(line, names[0]) if len(names) == 1 else ()


def _instances(line: Line) -> Iterator[Value]:
    from tweed_shim.tweed import instance_states

    for state in instance_states.states(line.root):
        yield state.name, " ".join(filter(None, (state.state, state.image)))


def _bindings(line: Line, instance: str = "") -> Iterator[Value]:
    from tweed_shim.tweed import instance_states

    chosen = instance or line.options.get("instance", "default")
    for state in instance_states.states(line.root):
        if state.name == chosen:
            yield from ((each.name, each.state) for each in state.bindings)


def _instance_files(line: Line, instance: str) -> Iterator[Value]:
    from tweed_shim.shim import Shim

    for file in Shim(line.root).instance(instance).files():
        yield file.name, file.summary or ""


def _instance_words(line: Line) -> Iterable[Value]:
    action, *names = line.words
    if not names:
        return _instances(line)
    if len(names) > 1 or action not in ("credentials", "files"):
        return ()
    return _bindings(line, names[0]) if action == "credentials" else _instance_files(line, names[0])


def _runs(line: Line) -> Iterator[Value]:
    from tweed_shim.runtime import runs

    for record in runs.records(line.root, newest=_NEWEST_RUNS):
        what = (record.get("operation"), record.get("image"), record["state"])
        yield str(record["run"]), " ".join(filter(None, what))


def _runs_or_rm(line: Line) -> Iterator[Value]:
    yield "rm", "remove runs"
    yield from _runs(line)


def _removed_runs(line: Line) -> Iterable[Value]:
    return _runs(line) if line.words[0] == "rm" else ()


def _capabilities(_: Line) -> Iterator[Value]:
    from tweed_shim.runtime import capabilities

    for name in (capabilities.ALL, *capabilities.NAMES):
        yield name.removeprefix("CAP_"), ""


def _commands(line: Line) -> Iterable[Value]:
    from tweed_shim.cli.commands import COMMANDS

    if not line.words:
        return ((name, command.summary) for name, command in COMMANDS.items())
    command = COMMANDS.get(line.words[0])
    return command.subcommands.items() if command and len(line.words) == 1 else ()


SOURCES: Mapping[str, Callable[[Line], Iterable[Value]]] = {
    "images": _images,
    "stored images": _stored_images,
    "clouds": _clouds,
    "interactions": _interactions,
    "cloud words": _cloud_words,
    "instances": _instances,
    "bindings": _bindings,
    "instance words": _instance_words,
    "runs or rm": _runs_or_rm,
    "removed runs": _removed_runs,
    "capabilities": _capabilities,
    "commands": _commands,
}


def paths(prefix: str, *, directories: bool) -> Iterator[Value]:
    """Yield the paths that begin with a text. A directory ends with `/`. directories: yield only these."""
    parent, name = os.path.split(prefix)
    directory = expand_home(f"{parent}/", os.environ) if parent.startswith("~") else parent or "."
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        if not entry.name.startswith(name) or (entry.name.startswith(".") and not name.startswith(".")):
            continue
        if entry.is_dir():
            yield f"{os.path.join(parent, entry.name)}/", ""
        elif not directories:
            yield os.path.join(parent, entry.name), ""


def _ignore(_: str) -> None:
    """Report no damage: the commands do."""
