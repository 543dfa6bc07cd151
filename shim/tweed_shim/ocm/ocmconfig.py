"""The OCM configuration, `.ocmconfig`: read and written.

The file is YAML or JSON with a typed configuration, usually of type `generic.config.ocm.software`, a list of others
(reference implementation, `ocm configfile`). `docs/ocm.md` has a table of the types with an effect; the others are
kept as they are, and `warnings` names them.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from tweed_shim.base import trust
from tweed_shim.base.option_names import option
from tweed_shim.base.records import EMPTY, Record
from tweed_shim.base.settings import expand_home, home_directory
from tweed_shim.data import document_paths, documents
from tweed_shim.errors import ConfigError

if TYPE_CHECKING:
    from tweed_shim.host.worker_process import WorkerProcess

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
    """A repository to look for component versions in.

    prefix: only for components with this name, or below it. priority: the highest is searched first.
    """

    repository: Entry
    prefix: str = ""
    priority: int = DEFAULT_PRIORITY


class OcmConfiguration(Record):
    """Typed configurations in their order; their text is never shown, because it holds secrets.

    entries: the content of generic configurations, without these themselves. sets: the named sets of generic
    configurations, as they are. name: of the configuration in messages.
    """

    HIDDEN = ("entries", "sets")

    entries: tuple[Entry, ...] = ()
    sets: Mapping[str, Any] = EMPTY
    name: str = "the OCM configuration"

    def of_type(self, kind: str) -> Iterator[Entry]:
        """Return all entries of a type, in any version."""
        return (entry for entry in self.entries if type_of(entry) == kind)

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes by name; the shim itself uses none of them."""
        return {
            name: value
            for entry in self.of_type(ATTRIBUTES)
            for name, value in _table(self, entry, "attributes").items()
        }

    @property
    def aliases(self) -> dict[str, Entry]:
        """The repository specifications by alias. Raises ConfigError."""
        tables = [_table(self, entry, "aliases") for entry in self.of_type(OCM)]
        tables += [_table(self, entry, "ocmRepositories") for entry in self.of_type(COMMANDS)]
        return {
            name: _repository(self, each, f"of the alias {name!r}")
            for table in tables
            for name, each in table.items()
        }

    @property
    def resolvers(self) -> tuple[Resolver, ...]:
        """The repositories to search, in the order of the file. Raises ConfigError."""
        return tuple(
            _resolver(self, each) for entry in self.of_type(OCM) for each in _list(self, entry, "resolvers")
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each type of configuration without an effect."""
        unused = dict.fromkeys(type_of(entry) for entry in self.entries if type_of(entry) not in _USED)
        return tuple(
            f"{self.name} holds settings of type {kind}, which have no effect here: they are kept as they are"
            for kind in unused
        )

    def resolvers_for(self, component: str) -> list[Entry]:
        """Return the repositories to search for a component, in their order. Raises ConfigError."""
        matching = [each for each in self.resolvers if _covers(each.prefix, component)]
        matching.sort(key=lambda each: (-each.priority, -len(_segments(each.prefix))))
        return [each.repository for each in matching]


def type_of(entry: Mapping[str, Any]) -> str:
    """Return the type of a typed object without its version: `a/v1` is an `a`."""
    kind = entry.get("type")
    return kind.partition("/")[0] if isinstance(kind, str) else ""


def find_file(chosen: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the file that `--ocmconfig` names, else `$OCM_CONFIG`, else one in the home directory, or None.

    The name `None` stands for no file. Raises ConfigError for `~/` without a home directory.
    """
    if named := chosen or environ.get("OCM_CONFIG"):
        return None if named == NO_FILE else expand_home(named, environ)
    home = home_directory(environ)
    defaults = (os.path.join(home, name) for name in _HOME_FILES) if home else ()
    return next((each for each in defaults if os.path.isfile(each)), None)


def load(file: str, worker: "WorkerProcess | None" = None) -> OcmConfiguration:
    """Read a configuration file, which may be a spiff template; the template may do whatever the caller may.

    worker: evaluates the template; a new one is started by default. Raises ConfigError where another user can change
    the file, or it cannot be read, or is malformed; TimedOut where the time of the worker is over.
    """
    try:
        with open(file, "rb") as opened:
            trust.check_file(opened.fileno(), file, f"the OCM configuration {file}")
            data = opened.read(documents.MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"the OCM configuration {file} cannot be read ({error.strerror}); name another "
            f"with {option('--ocmconfig')}"
        ) from None
    name = f"the OCM configuration {file}"
    if b"((" in data and len(data) <= documents.MAX_BYTES:
        return from_fields(_merged(data, name, worker), name=name)
    return decode(data, name=name)


def decode(data: bytes, *, name: str = "the OCM configuration") -> OcmConfiguration:
    """Parse a configuration; `name` names it in messages. Raises ConfigError, which never quotes a value."""
    document = documents.load(data, name=name)
    if document.value is None:
        return OcmConfiguration(name=name)
    return from_fields(document.value, name=name)


def from_fields(value: Any, *, name: str = "the OCM configuration") -> OcmConfiguration:
    """Return the configuration in plain data; `name` names it in messages. Raises ConfigError."""
    sets: dict[str, Any] = {}
    entries = tuple(_flattened(value, name, sets, depth=0))
    return OcmConfiguration(entries, sets, name)


def encode(configuration: OcmConfiguration) -> bytes:
    """Return the file of a configuration, of type `generic.config.ocm.software/v1`."""
    from tweed_shim.ocm import yaml_writer

    fields: dict[str, Any] = {
        "type": f"{GENERIC}/v1",
        "configurations": [dict(entry) for entry in configuration.entries],
    }
    if configuration.sets:
        fields["sets"] = dict(configuration.sets)
    return yaml_writer.dump(fields)


def memory_entry(credentials: Mapping[str, Mapping[str, str]], *, repository: str = "default") -> Entry:
    """Return an entry with a memory repository of credentials: properties by the name of the credentials."""
    stored = [
        {"credentialsName": name, "credentials": dict(properties)} for name, properties in credentials.items()
    ]
    return {"type": MEMORY, "repoName": repository, "credentials": stored}


def consumers_entry(consumers: Sequence[tuple[Mapping[str, str], Entry]]) -> Entry:
    """Return an entry with consumers: the identity and the credentials specification of each.

    `direct_credentials` or `memory_credentials` return such a specification.
    """
    return {
        "type": CREDENTIALS,
        "consumers": [
            {"identity": dict(identity), "credentials": [dict(specification)]}
            for identity, specification in consumers
        ],
    }


def direct_credentials(properties: Mapping[str, str]) -> Entry:
    """Return a credentials specification that has the properties itself."""
    return {"type": "Credentials", "properties": dict(properties)}


def memory_credentials(name: str, *, repository: str = "default") -> Entry:
    """Return a credentials specification that names credentials of a memory repository."""
    return {"type": "Memory", "repoName": repository, "credentialsName": name}


def _merged(data: bytes, name: str, worker: "WorkerProcess | None") -> Any:
    from tweed_shim import spiff
    from tweed_shim.host.worker_process import WorkerProcess
    from tweed_shim.spiff import template_worker
    from tweed_shim.spiff.merging import Document, Options

    options = Options(("interpolation", "control"), "system")
    try:
        with nullcontext(worker) if worker else WorkerProcess() as evaluating:
            results = template_worker.merge(evaluating, Document(data.decode(), name), (), options)
        return results[0][0] if len(results) == 1 else [value for value, is_lasting in results if is_lasting]
    except UnicodeDecodeError:
        raise ConfigError(f"{name} is not UTF-8; convert it with iconv -t UTF-8") from None
    except spiff.SpiffError as error:
        # The messages of spiff quote values, which may be secrets.
        places = document_paths.join_problems([document_paths.path_name(node.path) for node in error.nodes])
        where = f" at {places}" if places else ""
        raise ConfigError(
            f"{name} is a template that cannot be resolved{where}; run tweed-shim spiff merge on the file to see why"
        ) from None


def _flattened(value: Any, name: str, sets: dict[str, Any], *, depth: int) -> Iterator[Entry]:
    if not isinstance(value, dict) or not type_of(value):
        raise ConfigError(f"{name} holds an entry without a type; add one such as type: {GENERIC}/v1")
    if type_of(value) != GENERIC:
        yield value
        return
    if depth == _DEEPEST:
        raise ConfigError(
            f"{name} holds generic configurations more than {_DEEPEST} levels deep; flatten them"
        )
    of_file = OcmConfiguration(name=name)
    sets.update(_table(of_file, value, "sets"))
    for each in _list(of_file, value, "configurations"):
        yield from _flattened(each, name, sets, depth=depth + 1)


def _table(configuration: OcmConfiguration, entry: Entry, key: str) -> dict[str, Any]:
    value = entry.get(key)
    if not isinstance(value, dict | None):
        raise malformed(configuration.name, entry, f"{key} must be a map")
    return value or {}


def _list(configuration: OcmConfiguration, entry: Entry, key: str) -> list[Any]:
    value = entry.get(key)
    if not isinstance(value, list | None):
        raise malformed(configuration.name, entry, f"{key} must be a list")
    return value or []


def malformed(name: str, entry: Entry, problem: str) -> ConfigError:
    """Return the error for a malformed entry; `name` names its owner in messages."""
    return ConfigError(f"{name} is malformed: in an entry of type {type_of(entry)}, {problem}")


def _repository(configuration: OcmConfiguration, value: Any, whose: str) -> Entry:
    if not isinstance(value, dict) or not type_of(value):
        raise ConfigError(
            f"{configuration.name} is malformed: the repository {whose} must be a map with a type"
        )
    return value


def _resolver(configuration: OcmConfiguration, value: Any) -> Resolver:
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
    required = _segments(prefix)
    return _segments(component)[: len(required)] == required
