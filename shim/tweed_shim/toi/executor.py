"""A library for those who write TOI executors in Python: what the executor was called with, and its outputs.

    from tweed_shim.toi import executor

    def perform(call: executor.Call) -> None:
        token = call.credentials["target"]["token"]
        call.outputs["endpoint"] = {"url": install(call.config, call.parameters, token)}

    if __name__ == "__main__":
        sys.exit(executor.run(perform))

This file needs Python 3.11 and PyYAML, and nothing else of tweed-shim: an image may hold a copy of it, under any
name. What it reads is the tree of the executor image contract (reference implementation, `ocm toi-bootstrapping`):
`/toi/inputs/config`, `parameters`, `ocmconfig` and `ocmrepo`; what it writes are files in `/toi/outputs`.

`--bootstraproot DIR` reads another tree, such as `tweed-shim toi bootstrap --create-env DIR` makes, so that an
executor can be tried without a container. The other options are those that the reference's library has.
"""

import argparse
import hashlib
import io
import json
import os
import re
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

ROOT = "/toi"
DEFAULT_ACTION = "install"
DEFAULT_REPOSITORY = "default"

_MEMORY = "memory.credentials.config.ocm.software"
_CONSUMERS = "credentials.config.ocm.software"
_GENERIC = "generic.config.ocm.software"
_LOCAL_REFERENCES = {"localblob": "localReference", "localociblob": "digest"}
_DIGEST = re.compile(r"sha(?:256|512):[a-f0-9]+")
# What YAML cannot hold as it is, or takes for the end of a line.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class ExecutorError(Exception):
    """The call cannot be answered: something it needs is missing or malformed. The message never quotes a secret."""


class Properties(dict[str, str]):
    """Credentials: properties by name, of which only the names are ever shown."""

    def __repr__(self) -> str:
        """The names, not the values: this may end up in a log."""
        return f"Properties({', '.join(sorted(self))})"

    __str__ = __repr__


class Credentials(Mapping[str, Properties]):
    """The credentials that came with the call, by the names that the executor asked for them with.

    consumers: identities of what can be accessed, each with the credentials for it.
    """

    def __init__(
        self,
        named: Mapping[str, Properties],
        consumers: Sequence[tuple[Mapping[str, str], Properties]] = (),
    ) -> None:
        self._named = dict(named)
        self.consumers = tuple(consumers)

    def __getitem__(self, name: str) -> Properties:
        """The credentials of a name. Raises ExecutorError, which is a KeyError too, where there are none."""
        try:
            return self._named[name]
        except KeyError:
            there = ", ".join(sorted(self._named)) or "none"
            raise _MissingCredentials(
                f"there are no credentials {name!r} (there are: {there}): have them given"
            ) from None

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._named)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._named)

    def for_consumer(self, **wanted: str) -> Properties | None:
        """The credentials for what is to be accessed, such as `type="OCIRegistry", hostname="ghcr.io"`, or None.

        An identity fits where all it says is said of what is wanted; a `pathprefix` need only be its beginning. The
        one that says most is taken.
        """
        fitting = [
            (len(identity), len(identity.get("pathprefix", "")), number)
            for number, (identity, _) in enumerate(self.consumers)
            if all(_fits(key, value, wanted.get(key)) for key, value in identity.items())
        ]
        return self.consumers[max(fitting)[2]][1] if fitting else None


class _MissingCredentials(ExecutorError, KeyError):
    __str__ = Exception.__str__


class Outputs:
    """What the executor gives back: `outputs["endpoint"] = {"url": "https://example.com"}`.

    Each is a file in `directory`, there whole or not at all. Bytes and bytearrays are written as they are, everything
    else as JSON, which is YAML too.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def __setitem__(self, name: str, value: Any) -> None:
        """Write an output. Raises ExecutorError for a name that is none of a file, or a value JSON cannot hold."""
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            raise ExecutorError(f"the output {name!r} cannot be written: its name must be that of a file")
        data = bytes(value) if isinstance(value, bytes | bytearray) else _encode(name, value)
        try:
            _write(os.path.join(self.directory, name), data)
        except OSError as error:
            raise ExecutorError(f"the output {name!r} cannot be written: {error.strerror}") from None


@dataclass(frozen=True)
class Call:
    """What the executor was called with.

    config: what the package configured this executor with, and parameters: what the caller gave, both as plain data
    and None where there is nothing. repository: the path of the transport archive that holds the component version,
    and ocm_config: that of an OCM configuration with the credentials, for the `ocm` command.
    """

    action: str
    component: str
    version: str
    config: Any = field(repr=False)
    parameters: Any = field(repr=False)
    credentials: Credentials = field(repr=False)
    outputs: Outputs = field(repr=False)
    repository: str
    ocm_config: str

    @property
    def component_version(self) -> str:
        """`NAME:VERSION` of the component version that the package is from."""
        return f"{self.component}:{self.version}"

    def descriptor(self, component: str = "", version: str = "") -> dict[str, Any]:
        """The component descriptor as plain data, of a referenced component version where one is named.

        Raises ExecutorError where it is not in the repository, or damaged.
        """
        return _descriptor(self.repository, component or self.component, version or self.version)

    def resource(self, name: str, **identity: str) -> bytes:
        """The content of a resource of the component version that is a local blob, in memory and verified.

        identity: further parts of its identity. Raises ExecutorError where there is none, or several, or where its
        content is elsewhere.
        """
        wanted = {"name": name, **identity}
        found = [each for each in _resources(self.descriptor()) if _is_resource(each, wanted)]
        if len(found) != 1:
            raise ExecutorError(f"{self.component_version} has {len(found) or 'no'} resources {name!r}")
        access = found[0].get("access") or {}
        kind = str(access.get("type", "")).partition("/")[0]
        digest = access.get(_LOCAL_REFERENCES.get(kind.lower(), ""))
        if digest is None:
            raise ExecutorError(
                f"the resource {name!r} is no local blob but elsewhere ({kind}): get it there"
            )
        return _blob(self.repository, digest)


def run(perform: Callable[[Call], int | None], arguments: Sequence[str] | None = None) -> int:
    """Read what the program was called with, and perform it; returns the exit code.

    arguments: by default those of the process. An ExecutorError, also one that `perform` raises, is one sentence on
    stderr and the code 1; a command line that cannot be parsed ends the program with the code 2.
    """
    try:
        return perform(read(arguments)) or 0
    except ExecutorError as error:
        sys.stderr.write(f"{os.path.basename(sys.argv[0])}: {error}\n")
        return 1


def read(arguments: Sequence[str] | None = None) -> Call:
    """What the program was called with. Raises ExecutorError for what is missing or malformed."""
    given = _parse(arguments)
    inputs = given.inputs or os.path.join(given.bootstraproot, "inputs")

    def path(chosen: str, usual: str) -> str:
        return chosen or os.path.join(inputs, usual)

    noted = _load(os.path.join(given.bootstraproot, "properties"), needed=False) or {}
    action, named = given.action, given.component
    if not named:
        action, named = action or noted.get("action", ""), noted.get("componentVersion", "")
    component, _, version = str(named).rpartition(":")
    if not component or not version:
        raise ExecutorError(f"{named!r} names no component version: it must be NAME:VERSION")
    ocm_config = path(given.ocmconfig, "ocmconfig")
    return Call(
        action=action or DEFAULT_ACTION,
        component=component,
        version=version,
        config=_load(path(given.config, "config"), needed=bool(given.config)),
        parameters=_load(path(given.parameters, "parameters"), needed=bool(given.parameters)),
        credentials=_credentials(_load(ocm_config, needed=bool(given.ocmconfig)), ocm_config),
        outputs=Outputs(given.outputs or os.path.join(given.bootstraproot, "outputs")),
        repository=path(given.ctf, "ocmrepo"),
        ocm_config=ocm_config,
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("words", nargs="*", metavar="[ACTION] NAME:VERSION", help="what to do, and for what")
    parser.add_argument(
        "--bootstraproot", metavar="DIR", default=ROOT, help="the tree (default: %(default)s)"
    )
    for name in ("inputs", "outputs"):
        parser.add_argument(f"--{name}", metavar="DIR", help=f"instead of DIR/{name} in the tree")
    for name in ("config", "parameters", "ocmconfig"):
        parser.add_argument(f"--{name}", metavar="FILE", help=f"instead of {name} in the inputs")
    parser.add_argument("--ctf", metavar="PATH", help="instead of ocmrepo in the inputs: a transport archive")
    given = parser.parse_args(arguments)
    if len(given.words) > 2:
        parser.error("there are more arguments than an action and a component version")
    given.component = given.words[-1] if given.words else ""
    given.action = given.words[0] if len(given.words) == 2 else ""
    return given


class _Loader(yaml.SafeLoader):
    """YAML whose plain scalars mean what they do in JSON: no dates, no octal numbers, and `yes` is a word."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), _first)


def _load(path: str, *, needed: bool) -> Any:
    """The document in a file; None where there is none and none is needed."""
    try:
        with open(path, "rb") as file:
            return yaml.load(file, _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        if not needed:
            return None
        raise ExecutorError(f"the file {path} is missing: name another") from None
    except OSError as error:
        raise ExecutorError(f"the file {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError):
        # What PyYAML says quotes the text, which may hold secrets.
        raise ExecutorError(f"the file {path} is not well-formed YAML: have it made again") from None


def _credentials(document: Any, path: str) -> Credentials:
    named: dict[tuple[str, str], Properties] = {}
    consumers = []
    try:
        entries = list(_flattened(document))
        for entry in _of_type(entries, _MEMORY):
            for each in entry.get("credentials") or []:
                key = entry["repoName"], each["credentialsName"]
                named[key] = Properties(each.get("credentials") or {})
        for entry in _of_type(entries, _CONSUMERS):
            for each in entry.get("consumers") or []:
                properties = _specified(each["credentials"][0], named)
                consumers.extend([(each["identity"], properties)] if properties is not None else [])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise ExecutorError(f"the OCM configuration {path} is malformed: have it made again") from None
    own = {name: each for (place, name), each in named.items() if place == DEFAULT_REPOSITORY}
    return Credentials(own, consumers)


def _flattened(document: Any) -> Iterator[dict[str, Any]]:
    if document is None:
        return
    if _type_of(document) != _GENERIC:
        yield document
        return
    for each in document.get("configurations") or []:
        yield from _flattened(each)


def _type_of(entry: Mapping[str, Any]) -> str:
    return str(entry["type"]).partition("/")[0]


def _of_type(entries: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [entry for entry in entries if _type_of(entry) == kind]


def _specified(
    specification: Mapping[str, Any], named: Mapping[tuple[str, str], Properties]
) -> Properties | None:
    """What a credentials specification stands for; None where only the `ocm` command knows."""
    kind = _type_of(specification)
    if kind == "Credentials":
        return Properties(specification.get("properties") or {})
    if kind == "Memory":
        return named.get((specification["repoName"], specification["credentialsName"]))
    return None


def _fits(key: str, value: str, wanted: str | None) -> bool:
    if key == "pathprefix":
        return f"{(wanted or '').strip('/')}/".startswith(f"{value.strip('/')}/")
    return wanted == value or (wanted is None and key in ("port", "scheme"))


def _encode(name: str, value: Any) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
        escaped = _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        return f"{escaped}\n".encode()
    except (TypeError, ValueError, RecursionError):
        raise ExecutorError(
            f"the output {name!r} cannot be written: it is neither bytes nor what JSON can hold"
        ) from None


def _write(path: str, data: bytes) -> None:
    handle, beside = tempfile.mkstemp(prefix=".", dir=os.path.dirname(path) or ".")
    try:
        with open(handle, "wb") as file:
            file.write(data)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _resources(descriptor: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of either version of the format: v2 and v3alpha1."""
    body = descriptor.get("component") or descriptor.get("spec") or {}
    found: list[dict[str, Any]] = body.get("resources") or []
    return found


def _is_resource(resource: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    known = {
        **(resource.get("extraIdentity") or {}),
        "name": resource.get("name"),
        "version": resource.get("version"),
    }
    return all(known.get(key) == value for key, value in wanted.items())


def _descriptor(archive: str, component: str, version: str) -> dict[str, Any]:
    """Source: OCM specification, doc/04-extensions/03-storage-backends/oci.md and common/formatspec.md."""
    try:
        index = json.loads(_member(archive, "artifact-index.json"))
        place = f"component-descriptors/{component}", version.replace("+", ".build-")
        entries = [
            each for each in index["artifacts"] if (each["repository"], each.get("tag")) == place
        ]  # fmt: skip
        if not entries:
            raise ExecutorError(f"{archive} has no component version {component}:{version}")
        manifest = json.loads(_blob(archive, entries[0]["digest"]))
        config = json.loads(_blob(archive, manifest["config"]["digest"]))
        layer = config["componentDescriptorLayer"]
        text = _blob(archive, layer["digest"])
        if layer["mediaType"].endswith("+tar"):
            with tarfile.open(fileobj=io.BytesIO(text)) as tar:
                text = _extracted(tar, "component-descriptor.yaml")
        found = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (KeyError, TypeError, ValueError, tarfile.TarError, yaml.YAMLError):
        raise ExecutorError(f"{component}:{version} in {archive} is malformed: have it made again") from None
    if not isinstance(found, dict):
        raise ExecutorError(f"{component}:{version} in {archive} is malformed: have it made again")
    return found


def _blob(archive: str, digest: Any) -> bytes:
    if not _DIGEST.fullmatch(str(digest)):
        raise ExecutorError(f"{archive} names a blob by {digest!r}, which is no digest: have it made again")
    algorithm, _, value = digest.partition(":")
    data = _member(archive, f"blobs/{algorithm}.{value}")
    if hashlib.new(algorithm, data).hexdigest() != value:
        raise ExecutorError(f"the blob {digest} in {archive} is damaged: have it made again")
    return data


def _member(archive: str, name: str) -> bytes:
    """A file of a transport archive, which may be a directory, a tar or a compressed tar."""
    try:
        if os.path.isdir(archive):
            with open(os.path.join(archive, name), "rb") as file:
                return file.read()
        with tarfile.open(archive) as tar:
            return _extracted(tar, name)
    except KeyError:
        raise ExecutorError(f"{archive} has no {name}: have it made again") from None
    except (OSError, EOFError, tarfile.TarError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise ExecutorError(f"{name} of {archive} cannot be read: {reason}") from None


def _extracted(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()
