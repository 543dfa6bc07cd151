"""Credentials for registries, stored in the files and programs that Docker and podman use.

Files are read in this order, and the first one with credentials for a registry is used:

    $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json, ~/.docker/config.json,
    $XDG_RUNTIME_DIR/containers/auth.json (/run/containers/UID/auth.json where that is unset),
    $XDG_CONFIG_HOME/containers/auth.json (~/.config where that is unset)

Credentials are written to the first file that one of the first two variables names, or else to the first that exists,
so that what was written last is read first. Where no file exists it is ~/.docker/config.json. Within a file, the
credential program for the registry (`credHelpers`) comes first, then an entry of `auths` (its key is a registry, or a
registry and the beginning of a repository name; the longest match is used), then the credential program for all
registries (`credsStore`).

Sources: containers-auth.json(5), Docker's description of config.json, and the protocol of
docker-credential-helpers.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from typing import Any

from tweed_shim.base.named_files import Target
from tweed_shim.base.records import Record
from tweed_shim.http import hosts
from tweed_shim.http.hosts import normalize_hub
from tweed_shim.image.credential_files import (
    Credentials,
    CredentialsFile,
    Document,
    changing,
    path_to_write,
    paths,
    read,
    read_to_change,
    write,
    wrong_shape,
)
from tweed_shim.image.credential_programs import Program, named_program, server_key


class StoredCredentials(Record):
    """Credentials, and the server that they are stored for: the key of an entry, or the one that a program got."""

    server: str
    credentials: Credentials


def find(registry: str, repository: str, environ: Mapping[str, str]) -> Credentials | None:
    """Return the credentials for a repository of `host[:port]`, or None.

    Raises ConfigError for a file that cannot be read, and HostError for a credential program that is missing or fails.
    """
    stored = look_up(registry, repository, environ)
    return stored.credentials if stored else None


def look_up(registry: str, repository: str, environ: Mapping[str, str]) -> StoredCredentials | None:
    """Return the credentials for a repository together with their server, or None. Raises as `find`."""
    for path in paths(environ):
        if stored := find_in(CredentialsFile(path, read(path), environ), registry, repository):
            return stored
    return None


def keep(registry: str, credentials: Credentials, environ: Mapping[str, str]) -> str:
    """Store the credentials for `host[:port]`; return the file or the name of the program that holds them.

    Everything else in the file stays. It gets mode 0600; a file of another user keeps its owner and its mode.
    Raises ConfigError and HostError.
    """
    path = path_to_write(environ)
    with changing(path, environ) as target:
        file = CredentialsFile(path, read_to_change(target.path, path, to_use=False), environ)
        program = _trusted_program(file, target, registry)
        _forget_entries(file, registry)
        if program:
            program.store(credentials)
        entry = {} if program else _entry(credentials)
        write(target, {**file.document, "auths": {**file.table("auths"), server_key(registry): entry}})
    return program.command if program else target.real


def forget(registry: str, environ: Mapping[str, str]) -> bool:
    """Remove the credentials for `host[:port]` from every file and program; return whether there were any.

    Raises ConfigError and HostError.
    """
    return sum(_forget_in(path, registry, environ) for path in paths(environ)) > 0


def _forget_in(path: str, registry: str, environ: Mapping[str, str]) -> bool:
    if not os.path.exists(path):
        return False
    with changing(path, environ) as target:
        file = CredentialsFile(path, read_to_change(target.path, path, to_use=False), environ)
        program = _trusted_program(file, target, registry)
        removed = False
        if program and program.get() is not None:
            program.erase()
            removed = True
        if _forget_entries(file, registry):
            write(target, file.document)
            removed = True
    return removed


def _registry_of(key: str) -> str:
    """Return the registry of a key, with the beginning of a repository name where the key has one."""
    _, scheme, rest = key.rpartition("://")
    name = rest.rstrip("/")
    # The oldest keys of Docker are URLs of the registry's API: https://HOST/v1/.
    host, _, path = name.partition("/")
    if scheme or path in ("v1", "v2"):
        path = ""
    host = _host(host)
    return f"{host}/{path}" if path else host


def _host(registry: str) -> str:
    """Return `host[:port]` in the form in which registries and keys are compared."""
    return normalize_hub(hosts.comparable(registry))


def _forget_entries(file: CredentialsFile, registry: str) -> bool:
    """Remove the entries of a registry, but not those of single repositories; return whether there were any."""
    auths = file.table("auths")
    keys = [key for key in auths if _registry_of(key) == _host(registry)]
    for key in keys:
        del auths[key]
    return bool(keys)


def find_in(file: CredentialsFile, registry: str, repository: str) -> StoredCredentials | None:
    """Return the credentials for a repository of `host[:port]` in one file, or None. Raises as `find`."""
    helper = _helper(file, registry)
    if helper:
        return _from_program(helper)
    entries = {_registry_of(key): (key, entry) for key, entry in file.table("auths").items()}
    prefix = f"{_host(registry)}/{repository}"
    while prefix:
        if prefix in entries and (credentials := _parse_entry(*entries[prefix], file.path)):
            return StoredCredentials(entries[prefix][0], credentials)
        prefix = prefix.rpartition("/")[0]
    program = _program(file, registry)
    return _from_program(program) if program else None


def _from_program(program: Program) -> StoredCredentials | None:
    credentials = program.get()
    return StoredCredentials(server_key(program.registry), credentials) if credentials else None


def _parse_entry(key: str, entry: Any, path: str) -> Credentials | None:
    """Return the credentials in an entry of `auths`; None for an empty one, whose credentials a program holds."""
    if not isinstance(entry, dict):
        raise wrong_shape(path, f"auths, {key}")
    username, password = entry.get("username") or "", entry.get("password") or ""
    token, auth = entry.get("identitytoken") or "", entry.get("auth") or ""
    if not all(isinstance(each, str) for each in (username, password, token, auth)):
        raise wrong_shape(path, f"auths, {key}")
    if auth:
        try:
            # docker and podman ignore line breaks, which the program base64 inserts (RFC 2045, section 6.8).
            joined = auth.replace("\r", "").replace("\n", "")
            pair = base64.b64decode(joined, validate=True).decode()
        except (binascii.Error, ValueError):
            raise wrong_shape(path, f"auths, {key}, auth") from None
        username, colon, password = pair.rstrip("\0").partition(":")
        if not colon:
            raise wrong_shape(path, f"auths, {key}, auth")
    if token:
        return Credentials(username, identity_token=token)
    return Credentials(username, password) if username else None


def _entry(credentials: Credentials) -> Document:
    if credentials.identity_token:
        return {"auth": _encode(f"{credentials.username}:"), "identitytoken": credentials.identity_token}
    return {"auth": _encode(f"{credentials.username}:{credentials.password}")}


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _helper(file: CredentialsFile, registry: str) -> Program | None:
    """Return the credential program that `credHelpers` names for a registry, or None."""
    for key, name in file.table("credHelpers").items():
        if _registry_of(key) == _host(registry) and name:
            return named_program(name, file, registry)
    return None


def _program(file: CredentialsFile, registry: str) -> Program | None:
    """Return the credential program for a registry: of `credHelpers`, or else of `credsStore`."""
    name = file.document.get("credsStore")
    return _helper(file, registry) or (named_program(name, file, registry) if name else None)


def _trusted_program(file: CredentialsFile, target: Target, registry: str) -> Program | None:
    """Return the program of a file that is being changed. Raises ConfigError if another user can change the file."""
    program = _program(file, registry)
    if program:
        read_to_change(target.path, file.path, to_use=True)
    return program
