"""Credentials that OCM's configuration has for a consumer.

    Credentials(configuration.load(path), os.environ).for_consumer({"type": "OCIRegistry", "hostname": "ghcr.io"})

They are properties such as `username` and `password`, found by way of credentials specifications: `Credentials`
(they are in the specification), `Memory` and `Alias` (they are elsewhere in the configuration), and `DockerConfig` (a
file of logins, or its content, which also answers for the registries that it knows). A specification of another type
has nothing to give here, and is named in `warnings`.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tweed_shim.base.records import Record
from tweed_shim.base.settings import expand_home, home_directory
from tweed_shim.errors import ConfigError
from tweed_shim.http import hosts
from tweed_shim.http.hosts import normalize_hub
from tweed_shim.image import credential_files, credential_programs
from tweed_shim.image import stored_credentials as logins
from tweed_shim.image.credential_files import CredentialsFile
from tweed_shim.ocm import configuration as settings
from tweed_shim.ocm import consumers
from tweed_shim.ocm.configuration import Configuration, Entry
from tweed_shim.ocm.consumers import Consumer

USERNAME = "username"
PASSWORD = "password"  # noqa: S105 - the name of a property
IDENTITY_TOKEN = "identityToken"  # noqa: S105 - the name of a property
SERVER_ADDRESS = "serverAddress"
TOKEN = "token"  # noqa: S105 - the name of a property

_MOST_STEPS = 10


class Properties(dict[str, str]):
    """Credentials: properties by name, of which only the names are ever shown."""

    def __repr__(self) -> str:
        """The names, not the values: this may end up in a log."""
        return f"Properties({', '.join(sorted(self))})"

    __str__ = __repr__


def of_login(kept: logins.StoredCredentials) -> Properties:
    """What is kept in Docker's format, as the reference has it: a name and a password even where they are empty."""
    login = kept.credentials
    given = {
        USERNAME: "" if login.username == credential_programs.IDENTITY_USER else login.username,
        PASSWORD: login.password,
        IDENTITY_TOKEN: login.identity_token,
        SERVER_ADDRESS: kept.server,
    }
    # Whoever made an entry by `echo name:password | base64` did not mean the end of the line.
    texts = {key: value.rstrip("\n") for key, value in given.items()}
    return Properties({key: value for key, value in texts.items() if value or key in (USERNAME, PASSWORD)})


class Credentials(Record):
    """What a configuration says about credentials; `environ` tells the home directory and the way to programs."""

    HIDDEN = ("environ",)
    __slots__ = ("__dict__",)  # of the cached properties

    configuration: Configuration
    environ: Mapping[str, str]

    def for_consumer(self, request: Consumer, *, matcher: str = "") -> Properties | None:
        """The credentials for what is to be accessed, or None.

        matcher: the type of consumers whose rules are applied, the request's own by default. Raises ConfigError for
        an entry that is malformed, or that names credentials which are not there.
        """
        known = [*self._consumers.values(), *self._logins(request)]
        found = consumers.best(request, [identity for identity, _ in known], matcher=matcher)
        specification = next((given for identity, given in known if identity is found), None)
        if specification is None:
            return None
        if isinstance(specification, Properties):
            return specification
        return self.specified(specification)

    def specified(self, specification: Entry, *, whose: str = "") -> Properties | None:
        """The credentials of a specification; None where its type is not known. Raises ConfigError.

        whose: what messages call whatever has the specification, by default the configuration.
        """
        return self._follow(specification, _MOST_STEPS, whose)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each type of credentials specification that has nothing to give here."""
        used = [given for _, given in self._consumers.values()] + self._repositories
        known = ("Credentials", "Memory", "Alias", "DockerConfig")
        unknown = dict.fromkeys(settings.type_of(each) for each in used)
        return tuple(
            f"{self.configuration.name} names credentials of type {kind or 'none'}, which cannot be asked for here"
            for kind in unknown
            if kind not in known
        )

    @functools.cached_property
    def _consumers(self) -> dict[frozenset[tuple[str, str]], tuple[Consumer, Entry]]:
        """The last entry for an identity counts."""
        found: dict[frozenset[tuple[str, str]], tuple[Consumer, Entry]] = {}
        for entry in self.configuration.of_type(settings.CREDENTIALS):
            for each in self._maps(entry, "consumers"):
                identity = self._properties(entry, each.get("identity"))
                chain = self._maps(each, "credentials", of=entry)
                if not chain:
                    raise settings.malformed(self.configuration.name, entry, "a consumer has no credentials")
                # What follows in the chain are the credentials for getting at the first.
                found[frozenset(identity.items())] = (dict(identity), chain[0])
        return found

    @functools.cached_property
    def _repositories(self) -> list[Entry]:
        return [
            self._map(each.get("repository"), entry)
            for entry in self.configuration.of_type(settings.CREDENTIALS)
            for each in self._maps(entry, "repositories")
        ]

    @functools.cached_property
    def _aliases(self) -> dict[str, Entry]:
        return {
            name: self._map(self._map(each, entry).get("repository"), entry)
            for entry in self.configuration.of_type(settings.CREDENTIALS)
            for name, each in self._map(entry.get("aliases") or {}, entry).items()
        }

    @functools.cached_property
    def _memories(self) -> dict[tuple[str, str], tuple[Entry, Entry]]:
        """By the names of repository and credentials: what is kept, and the entry that it is part of."""
        return {
            (str(entry.get("repoName")), str(each.get("credentialsName"))): (each, entry)
            for entry in self.configuration.of_type(settings.MEMORY)
            for each in self._maps(entry, "credentials")
        }

    def _follow(self, specification: Entry, steps: int, whose: str = "") -> Properties | None:
        """What a specification leads to, which may be another one."""
        if not steps:
            raise self._missing("an end of specifications of credentials that lead to each other,", whose)
        kind, name = settings.type_of(specification), specification.get("credentialsName")
        if kind == "Credentials":
            return self._properties(specification, specification.get("properties"), whose)
        if kind == "DockerConfig" and isinstance(name, str):
            return self._login(specification, name, "", whose)
        if kind == "Alias":
            # The name is still that of whoever named the alias.
            alias = self._alias(specification, whose)
            return self._follow({**alias, "credentialsName": name}, steps - 1, whose)
        if kind == "Memory":
            kept, entry = self._kept(specification, name, whose)
            reference = kept.get("reference")
            if reference is None:
                return self._properties(entry, kept.get("credentials"))
            return self._follow(self._map(reference, entry), steps - 1)
        return None

    def _alias(self, specification: Entry, whose: str) -> Entry:
        alias = specification.get("alias")
        if not isinstance(alias, str) or alias not in self._aliases:
            raise self._missing(f"the alias {alias!r} of a credentials repository,", whose)
        return self._aliases[alias]

    def _kept(self, repository: Entry, name: Any, whose: str) -> tuple[Entry, Entry]:
        key = (str(repository.get("repoName")), str(name))
        if key not in self._memories:
            raise self._missing(f"credentials {key[1]!r} in a memory repository {key[0]!r},", whose)
        return self._memories[key]

    def _logins(self, request: Consumer) -> Iterator[tuple[Consumer, Properties]]:
        """What Docker's files have for a registry, each with the identity that it stands for."""
        host = request.get(consumers.HOSTNAME)
        if request.get(consumers.TYPE) != consumers.OCI_REGISTRY or not host:
            return
        port = request.get(consumers.PORT, "")
        path = request.get(consumers.PATH_PREFIX, "").strip("/")
        stores = [each for each in self._repositories if settings.type_of(each) == "DockerConfig"]
        for store in stores:
            if store.get("propagateConsumerIdentity") is False:
                continue
            # A login to a host alone is one to the port that its scheme has, and to no other.
            usual = not port or port == (
                "80" if request.get(consumers.SCHEME) == "http" else hosts.HTTPS_PORT
            )
            names = [*([host] if usual else []), *([f"{host}:{port}"] if port else [])]
            identity = {consumers.TYPE: consumers.OCI_REGISTRY, consumers.HOSTNAME: host}
            found = next((login for name in names if (login := self._login(store, name, path))), None)
            if found is not None:
                yield {**identity, consumers.PORT: port} if port else identity, found

    def _login(self, store: Entry, registry: str, path: str, whose: str = "") -> Properties | None:
        registry = normalize_hub(registry)
        inline = store.get("dockerConfig")
        name = store.get("dockerConfigFile")
        if inline is None and not name and home_directory(self.environ) is None:
            return None
        name = name or "~/.docker/config.json"
        if inline is None and isinstance(name, str):
            file = expand_home(name, self.environ)
            found = logins.find_in(
                CredentialsFile(file, credential_files.read(file), self.environ), registry, path
            )
        else:
            document = dict(self._map(inline, store, whose))
            holder = whose or self.configuration.name
            found = logins.find_in(CredentialsFile(holder, document, self.environ), registry, path)
        return of_login(found) if found else None

    def _maps(self, holder: Entry, key: str, of: Entry | None = None) -> Sequence[Entry]:
        """A list of maps."""
        entry = holder if of is None else of
        found = holder.get(key) or []
        if not isinstance(found, list):
            raise settings.malformed(self.configuration.name, entry, f"{key} must be a list")
        return [self._map(each, entry) for each in found]

    def _map(self, value: Any, entry: Entry, whose: str = "") -> Entry:
        if not isinstance(value, dict):
            raise settings.malformed(
                whose or self.configuration.name, entry, "something else is where a map is expected"
            )
        return value

    def _properties(self, entry: Entry, value: Any, whose: str = "") -> Properties:
        found = self._map({} if value is None else value, entry, whose)
        return Properties({name: self._text(name, part, entry, whose) for name, part in found.items()})

    def _text(self, name: str, value: Any, entry: Entry, whose: str) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if value is None or isinstance(value, str | int):
            return "" if value is None else str(value)
        raise settings.malformed(
            whose or self.configuration.name, entry, f"{name} must be text: put it in quotes"
        )

    def _missing(self, what: str, whose: str) -> ConfigError:
        place = f"in {self.configuration.name}" if whose else "there"
        return ConfigError(
            f"{whose or self.configuration.name} names {what} which is not {place}: add it or correct the name"
        )
