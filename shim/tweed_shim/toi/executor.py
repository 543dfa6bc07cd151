"""A library for TOI executors in Python: it reads the inputs of a call, and writes the outputs.

    from tweed_shim.toi import executor

    def perform(call: executor.Call) -> None:
        token = call.credentials["target"]["token"]
        call.outputs["endpoint"] = {"url": install(call.config, call.parameters, token)}

    if __name__ == "__main__":
        sys.exit(executor.run(perform))

This file stands alone: it needs Python 3.11 and PyYAML, and nothing else of tweed-shim, so that an image can hold a
copy of it under any name. That is why it is one file, longer than the others, with standard dataclasses, a YAML reader
and checks of its own. It reads the tree of the executor image contract (reference implementation, `ocm
toi-bootstrapping`): `/toi/inputs/config`, `parameters`, `ocmconfig` and `ocmrepo`. It writes files in `/toi/outputs`.

`--bootstraproot DIR` reads another tree, such as `tweed-shim toi bootstrap --create-env DIR` makes, so that an
executor can be tried without a container. The other options are those of the reference implementation's library.
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
# Characters that YAML does not allow unescaped, or that it takes for the end of a line.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class ExecutorError(Exception):
    """The call cannot be carried out: an input is missing or malformed. The message never quotes a secret."""


class Properties(dict[str, str]):
    """The properties of credentials by name. Only the names are ever shown."""

    def __repr__(self) -> str:
        """Return the names without the values: this text may end up in a log."""
        return f"Properties({', '.join(sorted(self))})"

    __str__ = __repr__


class Credentials(Mapping[str, Properties]):
    """The credentials of the call, by the names with which the executor asks for them.

    consumers: identities of systems that can be accessed, each with its credentials.
    """

    def __init__(
        self,
        named: Mapping[str, Properties],
        consumers: Sequence[tuple[Mapping[str, str], Properties]] = (),
    ) -> None:
        self._named = dict(named)
        self.consumers = tuple(consumers)

    def __getitem__(self, name: str) -> Properties:
        """Return the credentials of a name. Raises an ExecutorError that is also a KeyError where there are none."""
        try:
            return self._named[name]
        except KeyError:
            known = ", ".join(sorted(self._named)) or "none"
            raise _MissingCredentials(
                f"there are no credentials {name!r}: the call has {known}; add a request for them to the package"
            ) from None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._named)

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self._named)

    def for_consumer(self, **wanted: str) -> Properties | None:
        """Return the credentials for a system, such as `type="OCIRegistry", hostname="ghcr.io"`, or None.

        An identity matches where each of its attributes has the value in `wanted`; of a `pathprefix`, the beginning of
        the wanted one is enough. The identity with the most attributes wins.
        """
        matches = [
            (len(identity), len(identity.get("pathprefix", "")), number)
            for number, (identity, _) in enumerate(self.consumers)
            if all(_matches(key, value, wanted.get(key)) for key, value in identity.items())
        ]
        return self.consumers[max(matches)[2]][1] if matches else None


class _MissingCredentials(ExecutorError, KeyError):
    __str__ = Exception.__str__


class Outputs:
    """The outputs of the executor: `outputs["endpoint"] = {"url": "https://example.com"}` writes one.

    Each is a file in `directory`, which is never there in part. Bytes and bytearrays are written as they are, all other
    values as JSON, which is YAML too.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def __setitem__(self, name: str, value: Any) -> None:
        """Write an output. Raises ExecutorError for a name that no file can have, and a value that JSON cannot hold."""
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            raise ExecutorError(
                f"the output {name!r} cannot be written: no file can have this name; rename it"
            )
        data = bytes(value) if isinstance(value, bytes | bytearray) else _encode(name, value)
        try:
            _write(os.path.join(self.directory, name), data)
        except OSError as error:
            raise ExecutorError(f"the output {name!r} cannot be written: {error.strerror}") from None


@dataclass(frozen=True)
class Call:
    """One call of the executor: its arguments and inputs.

    config: the configuration that the package has for this executor. parameters: those of the caller. Both are plain
    data, None where there are none. repository: the path of the transport archive with the component version.
    ocm_config: the path of an OCM configuration with the credentials, for the `ocm` command.
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
        """Return `NAME:VERSION` of the component version that the package is from."""
        return f"{self.component}:{self.version}"

    def descriptor(self, component: str = "", version: str = "") -> dict[str, Any]:
        """Return the component descriptor as plain data: that of the package's component version, or of a named one.

        Raises ExecutorError where it is not in the repository, or damaged.
        """
        return _descriptor(self.repository, component or self.component, version or self.version)

    def resource(self, name: str, **identity: str) -> bytes:
        """Return the verified content of a resource of the component version that is a local blob.

        identity: further attributes of its identity. Raises ExecutorError where no resource or several match, and where
        the content is not in the archive.
        """
        wanted = {"name": name, **identity}
        matches = [each for each in _resources(self.descriptor()) if _is_resource(each, wanted)]
        if len(matches) != 1:
            raise ExecutorError(f"{self.component_version} has {len(matches) or 'no'} resources {name!r}")
        access = matches[0].get("access") or {}
        kind = str(access.get("type", "")).partition("/")[0]
        digest = access.get(_LOCAL_REFERENCES.get(kind.lower(), ""))
        if digest is None:
            raise ExecutorError(
                f"the resource {name!r} is not in the archive: its access is {kind}; fetch it from there, or bootstrap "
                "with --copy-resources"
            )
        return _blob(self.repository, digest)


def run(perform: Callable[[Call], int | None], arguments: Sequence[str] | None = None) -> int:
    """Read the call, call `perform` with it, and return the exit code.

    arguments: by default those of the process. An ExecutorError, also one that `perform` raises, becomes one sentence
    on stderr and the exit code 1. A command line that cannot be parsed ends the program with the exit code 2.
    """
    try:
        return perform(read(arguments)) or 0
    except ExecutorError as error:
        sys.stderr.write(f"{os.path.basename(sys.argv[0])}: {error}\n")
        return 1


def read(arguments: Sequence[str] | None = None) -> Call:
    """Read the arguments and inputs of the program. Raises ExecutorError for inputs that are missing or malformed."""
    options = _parse(arguments)
    inputs = options.inputs or os.path.join(options.bootstraproot, "inputs")

    def path(option: str, usual: str) -> str:
        return option or os.path.join(inputs, usual)

    properties = _load(os.path.join(options.bootstraproot, "properties"), needed=False) or {}
    action, named = options.action, options.component
    if not named:
        action, named = action or properties.get("action", ""), properties.get("componentVersion", "")
    component, _, version = str(named).rpartition(":")
    if not component or not version:
        raise ExecutorError(f"{named!r} names no component version: write it as NAME:VERSION")
    ocm_config = path(options.ocmconfig, "ocmconfig")
    return Call(
        action=action or DEFAULT_ACTION,
        component=component,
        version=version,
        config=_load(path(options.config, "config"), needed=bool(options.config)),
        parameters=_load(path(options.parameters, "parameters"), needed=bool(options.parameters)),
        credentials=_credentials(_load(ocm_config, needed=bool(options.ocmconfig)), ocm_config),
        outputs=Outputs(options.outputs or os.path.join(options.bootstraproot, "outputs")),
        repository=path(options.ctf, "ocmrepo"),
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
    options = parser.parse_args(arguments)
    if len(options.words) > 2:
        parser.error("there are more arguments than an action and a component version")
    options.component = options.words[-1] if options.words else ""
    options.action = options.words[0] if len(options.words) == 2 else ""
    return options


class _Loader(yaml.SafeLoader):
    """A YAML reader whose plain scalars mean what they mean in JSON: no dates, no octal numbers, and `yes` is text."""


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
    """Return the document in a file; None where the file is missing and not needed."""
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
        # The message of PyYAML is left out: it quotes the text, which may hold secrets.
        raise ExecutorError(f"the file {path} is not well-formed YAML: make it again") from None


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
        raise ExecutorError(f"the OCM configuration {path} is malformed: make it again") from None
    own = {name: each for (repository, name), each in named.items() if repository == DEFAULT_REPOSITORY}
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
    """Return what a credentials specification stands for; None for a type that only the `ocm` command knows."""
    kind = _type_of(specification)
    if kind == "Credentials":
        return Properties(specification.get("properties") or {})
    if kind == "Memory":
        return named.get((specification["repoName"], specification["credentialsName"]))
    return None


def _matches(key: str, value: str, wanted: str | None) -> bool:
    if key == "pathprefix":
        return f"{(wanted or '').strip('/')}/".startswith(f"{value.strip('/')}/")
    return wanted == value or (wanted is None and key in ("port", "scheme"))


def _encode(name: str, value: Any) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
        escaped = _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
        return f"{escaped}\n".encode()
    except (TypeError, ValueError, RecursionError):
        raise ExecutorError(
            f"the output {name!r} cannot be written: JSON cannot hold it; use bytes or plain data"
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
    """Return the resources of a descriptor of either format: v2 has `component`, v3alpha1 `spec`."""
    body = descriptor.get("component") or descriptor.get("spec") or {}
    resources: list[dict[str, Any]] = body.get("resources") or []
    return resources


def _is_resource(resource: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    known = {
        **(resource.get("extraIdentity") or {}),
        "name": resource.get("name"),
        "version": resource.get("version"),
    }
    return all(known.get(key) == value for key, value in wanted.items())


def _descriptor(archive: str, component: str, version: str) -> dict[str, Any]:
    """Return the component descriptor of a version in an archive.

    Source: OCM specification, doc/04-extensions/03-storage-backends/oci.md and common/formatspec.md.
    """
    try:
        index = json.loads(_member(archive, "artifact-index.json"))
        key = f"component-descriptors/{component}", version.replace("+", ".build-")
        entries = [
            each for each in index["artifacts"] if (each["repository"], each.get("tag")) == key
        ]  # fmt: skip
        if not entries:
            raise ExecutorError(
                f"{archive} has no component version {component}:{version}: name one that it has"
            )
        manifest = json.loads(_blob(archive, entries[0]["digest"]))
        config = json.loads(_blob(archive, manifest["config"]["digest"]))
        layer = config["componentDescriptorLayer"]
        text = _blob(archive, layer["digest"])
        if layer["mediaType"].endswith("+tar"):
            with tarfile.open(fileobj=io.BytesIO(text)) as tar:
                text = _extracted(tar, "component-descriptor.yaml")
        descriptor = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (KeyError, TypeError, ValueError, tarfile.TarError, yaml.YAMLError):
        raise ExecutorError(f"{component}:{version} in {archive} is malformed: make it again") from None
    if not isinstance(descriptor, dict):
        raise ExecutorError(f"{component}:{version} in {archive} is malformed: make it again")
    return descriptor


def _blob(archive: str, digest: Any) -> bytes:
    if not _DIGEST.fullmatch(str(digest)):
        raise ExecutorError(f"{archive} names a blob by {digest!r}, which is no digest: make it again")
    algorithm, _, value = digest.partition(":")
    data = _member(archive, f"blobs/{algorithm}.{value}")
    if hashlib.new(algorithm, data).hexdigest() != value:
        raise ExecutorError(f"the blob {digest} in {archive} is damaged: make it again")
    return data


def _member(archive: str, name: str) -> bytes:
    """Return a file of a transport archive, which is a directory, a tar or a compressed tar."""
    try:
        if os.path.isdir(archive):
            with open(os.path.join(archive, name), "rb") as file:
                return file.read()
        with tarfile.open(archive) as tar:
            return _extracted(tar, name)
    except KeyError:
        raise ExecutorError(f"{archive} has no {name}: make it again") from None
    except (OSError, EOFError, tarfile.TarError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise ExecutorError(f"{name} of {archive} cannot be read: {reason}") from None


def _extracted(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()
