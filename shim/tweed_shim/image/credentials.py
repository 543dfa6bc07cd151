"""The credentials that are kept for registries, where Docker and podman keep theirs.

Files are asked in this order, and the first that has something for a registry counts:

    $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json, ~/.docker/config.json,
    $XDG_RUNTIME_DIR/containers/auth.json (/run/containers/UID/auth.json where that is unset),
    $XDG_CONFIG_HOME/containers/auth.json (~/.config where that is unset)

Credentials are written to the first of these that one of the first two variables names, or else that exists:
what was written last is what is read. Where there is none it is ~/.docker/config.json. Within a file comes a
credential program for the registry (`credHelpers`), then an entry of `auths` (its key a registry, or a
registry and the beginning of a repository's name: the longest counts), then the credential program for all
(`credsStore`).

Sources: containers-auth.json(5), Docker's description of config.json, and the protocol of
docker-credential-helpers.
"""

import base64
import binascii
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from tweed_shim import files, hosts, named_files, subprocesses, trust
from tweed_shim.errors import ConfigError, HostError
from tweed_shim.image.reference import DOCKER_HUB, called_hub
from tweed_shim.named_files import Target
from tweed_shim.settings import home_directory, missing_home

HUB_KEY = "https://index.docker.io/v1/"
IDENTITY_USER = "<token>"
HELPER_TIMEOUT = 60.0
MAX_FILE = 4 << 20
NOT_FOUND = "credentials not found"

Document = dict[str, Any]


class Credentials(NamedTuple):
    """What a registry is told: a name and a password, or an identity token (an OAuth2 refresh token)."""

    username: str
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        """The name only: this may end up in a log."""
        return f"Credentials(username={self.username!r}, ...)"


class Kept(NamedTuple):
    """Credentials, and the server that they are kept for: the key of the entry, or what a program was asked."""

    server: str
    credentials: Credentials


def find(registry: str, repository: str, environ: Mapping[str, str]) -> Credentials | None:
    """The credentials for a repository of `host[:port]`, or None.

    Raises ConfigError for a file that cannot be read, and HostError for a credential program that is missing
    or fails.
    """
    found = look_up(registry, repository, environ)
    return found.credentials if found else None


def look_up(registry: str, repository: str, environ: Mapping[str, str]) -> Kept | None:
    """What `find` finds, and what it is kept for."""
    for path in _paths(environ):
        if found := find_in(read(path), path, registry, repository, environ):
            return found
    return None


def keep(registry: str, credentials: Credentials, environ: Mapping[str, str]) -> str:
    """Keep the credentials for `host[:port]`; returns the file that has them, or names the program that has.

    The file keeps what else is in it. It has mode 0600 afterwards; one of another user keeps its owner and its mode.
    Raises ConfigError and HostError.
    """
    path = path_to_write(environ)
    with _changing(path, environ) as target:
        document = _read(target.path, path, to_use=False)
        program = _program_to_call(document, target, path, registry)
        _forget_entries(document, path, registry)
        if program:
            secret = credentials.identity_token or credentials.password
            username = IDENTITY_USER if credentials.identity_token else credentials.username
            message = {"ServerURL": _key(registry), "Username": username, "Secret": secret}
            _call(program, "store", json.dumps(message), path, registry, environ)
        entry = {} if program else _entry(credentials)
        document["auths"] = {**_table(document, "auths", path), _key(registry): entry}
        _write(target, document)
    return program or target.real


def forget(registry: str, environ: Mapping[str, str]) -> bool:
    """Forget the credentials for `host[:port]` in every file and program that has some; whether any had.

    Raises ConfigError and HostError.
    """
    return sum(_forget_in(path, registry, environ) for path in _paths(environ)) > 0


def _forget_in(path: str, registry: str, environ: Mapping[str, str]) -> bool:
    if not os.path.exists(path):
        return False
    with _changing(path, environ) as target:
        document = _read(target.path, path, to_use=False)
        program = _program_to_call(document, target, path, registry)
        had = False
        if program and _ask(program, path, registry, environ) is not None:
            _call(program, "erase", _key(registry), path, registry, environ)
            had = True
        if _forget_entries(document, path, registry):
            _write(target, document)
            had = True
    return had


def _named_paths(environ: Mapping[str, str]) -> list[str]:
    """The files that a variable names, whether they exist or not."""
    paths = []
    if auth_file := environ.get("REGISTRY_AUTH_FILE"):
        paths.append(auth_file)
    if docker := environ.get("DOCKER_CONFIG"):
        paths.append(os.path.join(docker, "config.json"))
    return paths


def _usual_paths(environ: Mapping[str, str]) -> list[str]:
    """The files that need not be named; without a home directory there are fewer of them."""
    home = home_directory(environ)
    # XDG Base Directory Specification: paths that are not absolute are ignored.
    runtime, config = (
        path if os.path.isabs(path := environ.get(name, "")) else ""
        for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME")
    )
    if not config and home:
        config = os.path.join(home, ".config")
    paths = [
        home and os.path.join(home, ".docker", "config.json"),
        os.path.join(runtime, "containers", "auth.json")
        if runtime
        else f"/run/containers/{os.getuid()}/auth.json",
        config and os.path.join(config, "containers", "auth.json"),
    ]
    return [path for path in paths if path]


def _paths(environ: Mapping[str, str]) -> list[str]:
    # A usual one may lie where the caller may not even look: podman as root closes /run/containers to others.
    return [*_named_paths(environ), *filter(os.path.exists, _usual_paths(environ))]


def path_to_write(environ: Mapping[str, str]) -> str:
    """The file to keep a login in. Raises ConfigError where there is no place for it."""
    if named := _named_paths(environ):
        return named[0]
    for path in _usual_paths(environ):
        if os.path.exists(path):
            return path
    home = home_directory(environ)
    if home is None:
        raise ConfigError(
            f"there is no file to keep the login in: {missing_home()}; set HOME, or name a file with "
            "$REGISTRY_AUTH_FILE"
        )
    return os.path.join(home, ".docker", "config.json")


def read(path: str) -> Document:
    """Read a credentials file in Docker's format; one that does not exist is empty.

    Raises ConfigError where another user can change it, and where it cannot be read.
    """
    return _read(path, path, to_use=True)


def _read(path: str, name: str, *, to_use: bool) -> Document:
    """Read a credentials file, which messages call `name`. to_use: it must belong to somebody trusted."""
    try:
        with open(path, "rb") as file:
            if to_use:
                trust.check_file(file.fileno(), name, f"the credentials file {name}")
            text = files.read_bounded(file, MAX_FILE, f"the credentials file {name}").decode()
        document = json.loads(text) if text.strip() else {}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(
            f"the credentials file {name} cannot be read ({error.strerror}): mend it or move it away"
        ) from None
    except (ValueError, RecursionError):
        raise ConfigError(f"the credentials file {name} is not JSON: mend it or move it away") from None
    if not isinstance(document, dict):
        raise _misshapen(name, "as a whole")
    return document


@contextmanager
def _changing(path: str, environ: Mapping[str, str]) -> Iterator[Target]:
    """Keep other processes of the shim from changing a credentials file for the length of a block."""
    # Root with the HOME of a user means that user's files, also where everybody makes entries, as in /var/tmp.
    home = home_directory(environ) or ""
    try:
        named_files.make_directory(os.path.dirname(path) or ".", home=home)
        with named_files.resolved(path, home=home) as target:
            if target.about is not None and not stat.S_ISREG(target.about.st_mode):
                raise ConfigError(f"the credentials file {path} is not a file: move it away")
            with files.held_directory(os.path.dirname(target.path), shared=False):
                yield target
    except OSError as error:
        raise ConfigError(f"the credentials file {path} cannot be written: {error.strerror}") from None


def _write(target: Target, document: Document) -> None:
    with named_files.replacing(target, secret=True) as file:
        file.write(json.dumps(document, indent="\t").encode() + b"\n")


def _misshapen(path: str, part: str) -> ConfigError:
    return ConfigError(f"the credentials file {path} has the wrong shape ({part}): mend it or move it away")


def _table(document: Document, name: str, path: str) -> Document:
    """One of the tables of a credentials file, empty where it is missing."""
    table = document.get(name)
    if table is None:
        return {}
    if not isinstance(table, dict):
        raise _misshapen(path, name)
    return table


def _key(registry: str) -> str:
    """Under what key a registry's credentials are kept."""
    return HUB_KEY if registry == DOCKER_HUB else registry


def _place(key: str) -> str:
    """What a key stands for: `host[:port]`, or that and the beginning of a repository's name."""
    _, scheme, rest = key.rpartition("://")
    place = rest.rstrip("/")
    # Docker's oldest keys are addresses of the registry's interface.
    host, _, path = place.partition("/")
    if scheme or path in ("v1", "v2"):
        path = ""
    host = _host(host)
    return f"{host}/{path}" if path else host


def _host(registry: str) -> str:
    """The one form of `host[:port]` in which registries and keys are compared."""
    return called_hub(hosts.comparable(registry))


def _forget_entries(document: Document, path: str, registry: str) -> bool:
    """Take out the entries of a registry itself, not those of its repositories; whether there were any."""
    auths = _table(document, "auths", path)
    keys = [key for key in auths if _place(key) == _host(registry)]
    for key in keys:
        del auths[key]
    return bool(keys)


def find_in(
    document: Document, path: str, registry: str, repository: str, environ: Mapping[str, str]
) -> Kept | None:
    """What `look_up` does for one file, which has been read already; `path` is what messages call it."""
    helper = _helper(document, path, registry)
    if helper:
        return _kept(helper, path, registry, environ)
    entries = {_place(key): (key, entry) for key, entry in _table(document, "auths", path).items()}
    place = f"{_host(registry)}/{repository}"
    while place:
        if place in entries and (found := _parse_entry(*entries[place], path)):
            return Kept(entries[place][0], found)
        place = place.rpartition("/")[0]
    store = _program(document, path, registry)
    return _kept(store, path, registry, environ) if store else None


def _kept(program: str, path: str, registry: str, environ: Mapping[str, str]) -> Kept | None:
    found = _ask(program, path, registry, environ)
    return Kept(_key(registry), found) if found else None


def _parse_entry(key: str, entry: Any, path: str) -> Credentials | None:
    """An entry of `auths`; None for an empty one, which says that a program has the credentials."""
    if not isinstance(entry, dict):
        raise _misshapen(path, f"auths, {key}")
    username, password = entry.get("username") or "", entry.get("password") or ""
    token, auth = entry.get("identitytoken") or "", entry.get("auth") or ""
    if not all(isinstance(each, str) for each in (username, password, token, auth)):
        raise _misshapen(path, f"auths, {key}")
    if auth:
        try:
            # docker and podman read over line breaks, which `base64` puts in (RFC 2045, section 6.8).
            joined = auth.replace("\r", "").replace("\n", "")
            pair = base64.b64decode(joined, validate=True).decode()
        except (binascii.Error, ValueError):
            raise _misshapen(path, f"auths, {key}, auth") from None
        username, colon, password = pair.rstrip("\0").partition(":")
        if not colon:
            raise _misshapen(path, f"auths, {key}, auth")
    if token:
        return Credentials(username, identity_token=token)
    return Credentials(username, password) if username else None


def _entry(credentials: Credentials) -> Document:
    if credentials.identity_token:
        return {"auth": _encode(f"{credentials.username}:"), "identitytoken": credentials.identity_token}
    return {"auth": _encode(f"{credentials.username}:{credentials.password}")}


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _helper(document: Document, path: str, registry: str) -> str | None:
    """The credential program for one registry."""
    for key, name in _table(document, "credHelpers", path).items():
        if _place(key) == _host(registry) and name:
            return _program_name(name, path)
    return None


def _program(document: Document, path: str, registry: str) -> str | None:
    """The credential program that a file names for a registry: its own, or the one for all."""
    store = document.get("credsStore")
    return _helper(document, path, registry) or (_program_name(store, path) if store else None)


def _program_to_call(document: Document, target: Target, path: str, registry: str) -> str | None:
    """The same, for a file that is about to be changed. Raises ConfigError where another user names the program."""
    program = _program(document, path, registry)
    if program:
        _read(target.path, path, to_use=True)
    return program


def _program_name(name: Any, path: str) -> str:
    if not isinstance(name, str) or "/" in name or "\0" in name:
        raise _misshapen(path, "the name of a credential program")
    return f"docker-credential-{name}"


def _ask(program: str, path: str, registry: str, environ: Mapping[str, str]) -> Credentials | None:
    answer = _call(program, "get", _key(registry), path, registry, environ)
    if answer is None:
        return None
    try:
        document = json.loads(answer)
        username, secret = document["Username"], document["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        username = secret = None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise HostError(
            f"the credential program {program}, which {path} names, gave no name and password: mend it"
        )
    return (
        Credentials(username, identity_token=secret)
        if username == IDENTITY_USER
        else Credentials(username, secret)
    )


def _call(
    program: str, verb: str, message: str, path: str, registry: str, environ: Mapping[str, str]
) -> bytes | None:
    """Call a credential program; None where it has nothing for the registry."""
    try:
        done = subprocesses.run(
            subprocesses.Command(
                [program, verb], stdin=message.encode(), environ=environ, timeout=HELPER_TIMEOUT
            )
        )
    except TimeoutError:
        problem = f"did not end within {HELPER_TIMEOUT:.0f} s"
    except FileNotFoundError:
        problem = "is not installed: install it or take its name out of the file"
    except OSError as error:
        problem = f"cannot be run ({error.strerror})"
    else:
        if done.code == 0:
            return done.output
        if NOT_FOUND in done.output.decode(errors="replace").lower():
            return None
        problem = f"failed (exit code {done.code}): call `{program} {verb}` to see why"
        if done.code < 0:
            problem = f"was ended by signal {-done.code}: run it again"
    raise HostError(f"the credential program {program}, which {path} names for {registry}, {problem}")
