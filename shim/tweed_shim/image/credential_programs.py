"""Credential programs (docker-credential-helpers), which store the credentials that files name them for.

Source: the protocol of docker-credential-helpers.
"""

import json
from collections.abc import Mapping
from typing import Any

from tweed_shim.base.records import Record
from tweed_shim.errors import HostError
from tweed_shim.host import subprocesses
from tweed_shim.http.hosts import DOCKER_HUB
from tweed_shim.image.credential_files import Credentials, CredentialsFile, wrong_shape

HUB_KEY = "https://index.docker.io/v1/"
IDENTITY_USER = "<token>"
HELPER_TIMEOUT = 60.0  # seconds
NOT_FOUND = "credentials not found"


def server_key(registry: str) -> str:
    """Return the key of a registry in credentials files and programs; Docker Hub has one of its own."""
    return HUB_KEY if registry == DOCKER_HUB else registry


class Program(Record):
    """A credential program for one registry.

    command: `docker-credential-NAME`. path: the credentials file that names it, for messages. environ: of the program.
    """

    command: str
    path: str
    registry: str
    environ: Mapping[str, str]

    def get(self) -> Credentials | None:
        """Return the credentials for the registry, None where the program has none. Raises HostError."""
        answer = self._run("get", server_key(self.registry))
        if answer is None:
            return None
        try:
            document = json.loads(answer)
            username, secret = document["Username"], document["Secret"]
        except (ValueError, KeyError, TypeError, RecursionError):
            username = secret = None
        if not isinstance(username, str) or not isinstance(secret, str):
            raise HostError(
                f"the credential program {self.command}, which {self.path} names, gave no name and password; "
                f"run `{self.command} get` to see what it answers"
            )
        if username == IDENTITY_USER:
            return Credentials(username, identity_token=secret)
        return Credentials(username, secret)

    def store(self, credentials: Credentials) -> None:
        """Give the credentials for the registry to the program. Raises HostError."""
        entry = {
            "ServerURL": server_key(self.registry),
            "Username": IDENTITY_USER if credentials.identity_token else credentials.username,
            "Secret": credentials.identity_token or credentials.password,
        }
        self._run("store", json.dumps(entry))

    def erase(self) -> None:
        """Remove the credentials for the registry from the program. Raises HostError."""
        self._run("erase", server_key(self.registry))

    def _run(self, verb: str, message: str) -> bytes | None:
        """Run the program with a message on stdin; return its output, None where it has nothing for the registry."""
        command = subprocesses.Command(
            [self.command, verb], stdin=message.encode(), environ=self.environ, timeout=HELPER_TIMEOUT
        )
        try:
            result = subprocesses.run(command)
        except TimeoutError:
            problem = f"did not end within {HELPER_TIMEOUT:.0f} s; run `{self.command} {verb}` to see why"
        except FileNotFoundError:
            problem = "is not installed; install it or remove its name from the file"
        except OSError as error:
            problem = f"cannot be run ({error.strerror}); install it again or remove its name from the file"
        else:
            if result.code == 0:
                return result.output
            if NOT_FOUND in result.output.decode(errors="replace").lower():
                return None
            problem = f"failed (exit code {result.code}); run `{self.command} {verb}` to see why"
            if result.code < 0:
                problem = f"was ended by signal {-result.code}; run the command again"
        raise HostError(
            f"the credential program {self.command}, which {self.path} names for {self.registry}, {problem}"
        )


def named_program(name: Any, file: CredentialsFile, registry: str) -> Program:
    """Return the program that a credentials file names for a registry. Raises ConfigError for a malformed name."""
    if not isinstance(name, str) or "/" in name or "\0" in name:
        raise wrong_shape(file.path, "the name of a credential program")
    return Program(f"docker-credential-{name}", file.path, registry, file.environ)
