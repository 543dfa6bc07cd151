"""Files with credentials for registries, in Docker's format: where they are, reading them and changing them.

Sources: containers-auth.json(5), and Docker's description of config.json.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tweed_shim.base import files, named_files, trust
from tweed_shim.base.named_files import Target
from tweed_shim.base.records import Record
from tweed_shim.base.settings import home_directory, missing_home
from tweed_shim.errors import ConfigError
from tweed_shim.image.json_fields import MAX_DOCUMENT


class Credentials(Record):
    """A user name and a password for a registry, or an identity token (an OAuth2 refresh token)."""

    HIDDEN = ("password", "identity_token")

    username: str
    password: str = ""
    identity_token: str = ""


# The JSON object in a credentials file.
Document = dict[str, Any]


class CredentialsFile(Record):
    """A credentials file that has been read. path: for messages. environ: of the programs that the file names."""

    path: str
    document: Document
    environ: Mapping[str, str]

    def table(self, name: str) -> Document:
        """Return one of the objects in the file; empty where it is missing. Raises ConfigError."""
        value = self.document.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise wrong_shape(self.path, name)
        return value


def named_paths(environ: Mapping[str, str]) -> list[str]:
    """Return the files that $REGISTRY_AUTH_FILE and $DOCKER_CONFIG name, whether they exist or not."""
    paths = []
    if auth_file := environ.get("REGISTRY_AUTH_FILE"):
        paths.append(auth_file)
    if docker := environ.get("DOCKER_CONFIG"):
        paths.append(os.path.join(docker, "config.json"))
    return paths


def usual_paths(environ: Mapping[str, str]) -> list[str]:
    """Return the default paths of credentials files. Without a home directory there are fewer of them."""
    home = home_directory(environ)
    # The XDG Base Directory Specification ignores paths that are not absolute.
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


def paths(environ: Mapping[str, str]) -> list[str]:
    """Return the files to read: those that variables name, and the default ones that exist."""
    # os.path.exists is false for a path that the caller may not look up: podman as root makes /run/containers private.
    return [*named_paths(environ), *filter(os.path.exists, usual_paths(environ))]


def path_to_write(environ: Mapping[str, str]) -> str:
    """Return the file to write a login to. Raises ConfigError where there is none."""
    if named := named_paths(environ):
        return named[0]
    for path in usual_paths(environ):
        if os.path.exists(path):
            return path
    home = home_directory(environ)
    if home is None:
        raise ConfigError(
            f"the login cannot be stored: {missing_home()}; set HOME, or name a file with $REGISTRY_AUTH_FILE"
        )
    return os.path.join(home, ".docker", "config.json")


def read(path: str) -> Document:
    """Read a credentials file, to use the credentials in it. A missing file is empty.

    Raises ConfigError where the file cannot be read, or another user can change it.
    """
    return read_to_change(path, path, to_use=True)


def read_to_change(path: str, name: str, *, to_use: bool) -> Document:
    """Read a credentials file. name: the path for messages. to_use: refuse a file that another user can change."""
    try:
        with open(path, "rb") as file:
            if to_use:
                trust.check_file(file.fileno(), name, f"the credentials file {name}")
            text = files.read_bounded(file, MAX_DOCUMENT, f"the credentials file {name}").decode()
        document = json.loads(text) if text.strip() else {}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(
            f"the credentials file {name} cannot be read ({error.strerror}); make it readable or move it away"
        ) from None
    except (ValueError, RecursionError):
        raise ConfigError(f"the credentials file {name} is not JSON; correct it or move it away") from None
    if not isinstance(document, dict):
        raise wrong_shape(name, "as a whole")
    return document


@contextmanager
def changing(path: str, environ: Mapping[str, str]) -> Iterator[Target]:
    """Lock a credentials file against other processes of the shim for the length of a with block."""
    # Root with a user's HOME changes that user's file, even where everybody may create entries, as in /var/tmp.
    home = home_directory(environ) or ""
    try:
        named_files.make_directory(os.path.dirname(path) or ".", home=home)
        with named_files.resolved(path, home=home) as target:
            if target.status is not None and not stat.S_ISREG(target.status.st_mode):
                raise ConfigError(f"the credentials file {path} is not a regular file; move it away")
            with files.held_directory(os.path.dirname(target.path), shared=False):
                yield target
    except OSError as error:
        raise ConfigError(
            f"the credentials file {path} cannot be written: {error.strerror}; "
            "name another file with $REGISTRY_AUTH_FILE"
        ) from None


def write(target: Target, document: Document) -> None:
    """Replace a credentials file. It gets mode 0600, unless it belongs to another user."""
    with named_files.replacing(target, secret=True) as file:
        file.write(json.dumps(document, indent="\t").encode() + b"\n")


def wrong_shape(path: str, part: str) -> ConfigError:
    """Return the error for a malformed part of a credentials file."""
    return ConfigError(f"the credentials file {path} is malformed ({part}); correct it or move it away")
