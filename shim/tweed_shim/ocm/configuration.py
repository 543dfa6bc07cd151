"""OCM's configuration: what `.ocmconfig` says, read, kept and written.

The file is YAML or JSON, and any typed configuration; usually it is of type `generic.config.ocm.software`, a list
of others (reference implementation, `ocm configfile`). What the shim makes use of has a table in `docs/ocm.md`; all
else is kept as it is and named in `warnings`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from tweed_shim import documents, trust
from tweed_shim.errors import ConfigError
from tweed_shim.option_names import option
from tweed_shim.records import EMPTY, Record
from tweed_shim.settings import expand_home, home_directory

if TYPE_CHECKING:
    from tweed_shim.worker_process import WorkerProcess

SUFFIX = ".config.ocm.software"
GENERIC = f"generic{SUFFIX}"
CREDENTIALS = f"credentials{SUFFIX}"
MEMORY = f"memory.credentials{SUFFIX}"
OCM = f"ocm{SUFFIX}"
COMMANDS = f"ocm.cmd{SUFFIX}"
ATTRIBUTES = f"attributes{SUFFIX}"

NO_FILE = "None"
DEFAULT_PRIORITY = 10

_USED = frozenset({CREDENTIALS, MEMORY, OCM, COMMANDS, ATTRIBUTES})
_HOME_FILES = (".ocmconfig", ".ocm/ocmconfig", ".ocm/config")
_DEEPEST = 10

Entry = Mapping[str, Any]


class Resolver(Record):
    """A repository, by its specification, that component versions are looked for in.

    prefix: only for components with this name, or below it. priority: the highest is asked first.
    """

    repository: Entry
    prefix: str = ""
    priority: int = DEFAULT_PRIORITY


class Configuration(Record):
    """Typed configurations, in their order; their text is never shown, because it holds secrets.

    entries: those of generic ones included, and these themselves not. sets: what generic ones offer by name, kept.
    name: what messages call it.
    """

    HIDDEN = ("entries", "sets")

    entries: tuple[Entry, ...] = ()
    sets: Mapping[str, Any] = EMPTY
    name: str = "the OCM configuration"

    def of_type(self, kind: str) -> Iterator[Entry]:
        """All entries of a type, in any version."""
        return (entry for entry in self.entries if type_of(entry) == kind)

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes by their name; the shim itself heeds none."""
        return {
            name: value
            for entry in self.of_type(ATTRIBUTES)
            for name, value in _table(self, entry, "attributes").items()
        }

    @property
    def aliases(self) -> dict[str, Entry]:
        """Specifications of OCM repositories by the names that stand for them. Raises ConfigError."""
        tables = [_table(self, entry, "aliases") for entry in self.of_type(OCM)]
        tables += [_table(self, entry, "ocmRepositories") for entry in self.of_type(COMMANDS)]
        return {
            name: _repository(self, each, f"of the alias {name!r}")
            for table in tables
            for name, each in table.items()
        }

    @property
    def resolvers(self) -> tuple[Resolver, ...]:
        """The repositories to look into, in the order of the file. Raises ConfigError."""
        return tuple(
            _resolver(self, each) for entry in self.of_type(OCM) for each in _list(self, entry, "resolvers")
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each type of configuration that is kept and not used."""
        unused = dict.fromkeys(type_of(entry) for entry in self.entries if type_of(entry) not in _USED)
        return tuple(
            f"{self.name} holds settings of type {kind}, which are not used here: they are kept as they are"
            for kind in unused
        )

    def resolvers_for(self, component: str) -> list[Entry]:
        """The repositories in which a component is looked for, in their order. Raises ConfigError."""
        fitting = [each for each in self.resolvers if _covers(each.prefix, component)]
        fitting.sort(key=lambda each: (-each.priority, -len(_segments(each.prefix))))
        return [each.repository for each in fitting]


def type_of(entry: Mapping[str, Any]) -> str:
    """The type of a typed object, without its version: `a/v1` is an `a`."""
    kind = entry.get("type")
    return kind.partition("/")[0] if isinstance(kind, str) else ""


def path(chosen: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the file to read: what `--ocmconfig` names, else `$OCM_CONFIG`, else one in the home directory, or None.

    `None` as the name of a file stands for no file. Raises ConfigError for `~/` where there is no home directory.
    """
    if named := chosen or environ.get("OCM_CONFIG"):
        return None if named == NO_FILE else expand_home(named, environ)
    home = home_directory(environ)
    usual = (os.path.join(home, name) for name in _HOME_FILES) if home else ()
    return next((each for each in usual if os.path.isfile(each)), None)


def load(file: str, worker: "WorkerProcess | None" = None) -> Configuration:
    """Read a file, which may be a spiff template that may do what the caller may.

    worker: evaluates the template; None for one that is started for it. Raises ConfigError where another user can
    change the file, it cannot be read, or it is no configuration, TimedOut where the time of the worker is used up.
    """
    try:
        with open(file, "rb") as opened:
            trust.check_file(opened.fileno(), file, f"the OCM configuration {file}")
            data = opened.read(documents.MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"the OCM configuration {file} cannot be read ({error.strerror}): mend it or name another "
            f"with {option('--ocmconfig')}"
        ) from None
    name = f"the OCM configuration {file}"
    if b"((" in data and len(data) <= documents.MAX_BYTES:
        return from_fields(_merged(data, name, worker), name=name)
    return decode(data, name=name)


def decode(data: bytes, *, name: str = "the OCM configuration") -> Configuration:
    """Read a configuration; `name` is what messages call it. Raises ConfigError, which never quotes a value."""
    document = documents.load(data, name=name)
    if document.value is None:
        return Configuration(name=name)
    return from_fields(document.value, name=name)


def from_fields(value: Any, *, name: str = "the OCM configuration") -> Configuration:
    """The same for plain data. Raises ConfigError."""
    sets: dict[str, Any] = {}
    entries = tuple(_flattened(value, name, sets, 0))
    return Configuration(entries, sets, name)


def encode(configuration: Configuration) -> bytes:
    """The file that holds a configuration, of type `generic.config.ocm.software/v1`."""
    from tweed_shim.ocm import yaml_writer

    fields: dict[str, Any] = {
        "type": f"{GENERIC}/v1",
        "configurations": [dict(entry) for entry in configuration.entries],
    }
    if configuration.sets:
        fields["sets"] = dict(configuration.sets)
    return yaml_writer.dump(fields)


def memory_entry(credentials: Mapping[str, Mapping[str, str]], *, repository: str = "default") -> Entry:
    """A memory repository of credentials: properties by the name of the credentials."""
    kept = [
        {"credentialsName": name, "credentials": dict(properties)} for name, properties in credentials.items()
    ]
    return {"type": MEMORY, "repoName": repository, "credentials": kept}


def consumers_entry(consumers: Sequence[tuple[Mapping[str, str], Entry]]) -> Entry:
    """What each consumer uses: its identity, and a credentials specification.

    Such a specification is made by `direct` or `in_memory`.
    """
    return {
        "type": CREDENTIALS,
        "consumers": [
            {"identity": dict(identity), "credentials": [dict(specification)]}
            for identity, specification in consumers
        ],
    }


def direct(properties: Mapping[str, str]) -> Entry:
    """A credentials specification that holds the properties itself."""
    return {"type": "Credentials", "properties": dict(properties)}


def in_memory(name: str, *, repository: str = "default") -> Entry:
    """A credentials specification that names credentials of a memory repository."""
    return {"type": "Memory", "repoName": repository, "credentialsName": name}


def _merged(data: bytes, name: str, worker: "WorkerProcess | None") -> Any:
    from tweed_shim import spiff, template_worker
    from tweed_shim.spiff.merging import Document, Options
    from tweed_shim.worker_process import WorkerProcess

    options = Options(("interpolation", "control"), "system")
    try:
        with nullcontext(worker) if worker else WorkerProcess() as evaluating:
            found = template_worker.merge(evaluating, Document(data.decode(), name), (), options)
        return found[0][0] if len(found) == 1 else [value for value, is_lasting in found if is_lasting]
    except UnicodeDecodeError:
        raise ConfigError(f"{name} is not UTF-8: mend it") from None
    except spiff.SpiffError as error:
        # What spiff says quotes values, which may be secrets.
        places = documents.listed([documents.path_name(node.path) for node in error.nodes])
        where = f" at {places}" if places else ""
        raise ConfigError(
            f"{name} is a template that cannot be resolved{where}: `tweed-shim spiff merge` of the file says why"
        ) from None


def _flattened(value: Any, name: str, sets: dict[str, Any], depth: int) -> Iterator[Entry]:
    if not isinstance(value, dict) or not type_of(value):
        raise ConfigError(f"{name} holds what is no configuration: it needs a type such as {GENERIC}/v1")
    if type_of(value) != GENERIC:
        yield value
        return
    if depth == _DEEPEST:
        raise ConfigError(
            f"{name} holds generic configurations more than {_DEEPEST} levels deep: flatten them"
        )
    of_file = Configuration(name=name)
    sets.update(_table(of_file, value, "sets"))
    for each in _list(of_file, value, "configurations"):
        yield from _flattened(each, name, sets, depth + 1)


def _table(configuration: Configuration, entry: Entry, key: str) -> dict[str, Any]:
    value = entry.get(key)
    if not isinstance(value, dict | None):
        raise malformed(configuration.name, entry, f"{key} must be a map")
    return value or {}


def _list(configuration: Configuration, entry: Entry, key: str) -> list[Any]:
    value = entry.get(key)
    if not isinstance(value, list | None):
        raise malformed(configuration.name, entry, f"{key} must be a list")
    return value or []


def malformed(name: str, entry: Entry, problem: str) -> ConfigError:
    """What to raise for an entry that cannot be made sense of; `name` is what messages call whatever has it."""
    return ConfigError(f"{name} is malformed: in an entry of type {type_of(entry)}, {problem}")


def _repository(configuration: Configuration, value: Any, whose: str) -> Entry:
    if not isinstance(value, dict) or not type_of(value):
        raise ConfigError(
            f"{configuration.name} is malformed: the repository {whose} must be a map with a type"
        )
    return value


def _resolver(configuration: Configuration, value: Any) -> Resolver:
    fields = value if isinstance(value, dict) else {}
    prefix, priority = fields.get("prefix") or "", fields.get("priority")
    if not isinstance(prefix, str):
        raise ConfigError(f"{configuration.name} is malformed: the prefix of a resolver must be text")
    if priority is not None and (not isinstance(priority, int) or isinstance(priority, bool)):
        raise ConfigError(
            f"{configuration.name} is malformed: the priority of a resolver must be a whole number"
        )
    repository = _repository(configuration, fields.get("repository"), "of a resolver")
    return Resolver(repository, prefix, DEFAULT_PRIORITY if priority is None else priority)


def _segments(name: str) -> list[str]:
    return [segment for segment in name.split("/") if segment]


def _covers(prefix: str, component: str) -> bool:
    wanted = _segments(prefix)
    return _segments(component)[: len(wanted)] == wanted
