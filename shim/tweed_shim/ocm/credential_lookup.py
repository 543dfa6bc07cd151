"""Credential lookup: the credentials that the OCM configuration has for a consumer.

    Credentials(configuration.load(path), os.environ).for_consumer({"type": "OCIRegistry", "hostname": "ghcr.io"})

Credentials are properties such as `username` and `password`. Credentials specifications lead to them: `Credentials` has
the properties itself, `Memory` and `Alias` name another part of the configuration, and `DockerConfig` is a file of
logins, or its content, which also answers for its registries. A specification of another type is not supported, and
`warnings` names it.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tweed_shim.base.records import Record
from tweed_shim.base.settings import expand_home, home_directory
from tweed_shim.errors import ConfigError
from tweed_shim.http import hosts
from tweed_shim.http.hosts import normalize_hub
from tweed_shim.image import stored_credentials as logins
from tweed_shim.image.credential_files import CredentialsFile, read
from tweed_shim.image.credential_programs import IDENTITY_USER
from tweed_shim.ocm import consumer_identity
from tweed_shim.ocm import ocmconfig as settings
from tweed_shim.ocm.consumer_identity import ConsumerIdentity
from tweed_shim.ocm.ocmconfig import Entry, OcmConfiguration

USERNAME = "username"
PASSWORD = "password"  # noqa: S105 - the name of a property
IDENTITY_TOKEN = "identityToken"  # noqa: S105 - the name of a property
SERVER_ADDRESS = "serverAddress"

_MOST_STEPS = 10


class Properties(dict[str, str]):
    """Credentials: properties by name. Only the names are ever shown."""

    def __repr__(self) -> str:
        """Return the names without the values, because this may end up in a log."""
        return f"Properties({', '.join(sorted(self))})"

    __str__ = __repr__


def of_login(login: logins.StoredCredentials) -> Properties:
    """Return the properties of a stored login; like the reference, with name and password even if empty."""
    credentials = login.credentials
    properties = {
        USERNAME: "" if credentials.username == IDENTITY_USER else credentials.username,
        PASSWORD: credentials.password,
        IDENTITY_TOKEN: credentials.identity_token,
        SERVER_ADDRESS: login.server,
    }
    # An entry made with `echo name:password | base64` ends in a line feed, which belongs to no password.
    texts = {key: value.rstrip("\n") for key, value in properties.items()}
    return Properties({key: value for key, value in texts.items() if value or key in (USERNAME, PASSWORD)})


class ConfiguredCredentials(Record):
    """The credentials of a configuration; `environ` has the home directory and the search path of programs."""

    HIDDEN = ("environ",)
    __slots__ = ("__dict__",)  # functools.cached_property stores its results there

    configuration: OcmConfiguration
    environ: Mapping[str, str]

    def for_consumer(self, request: ConsumerIdentity, *, matcher: str = "") -> Properties | None:
        """Return the credentials for what a request identifies, or None.

        matcher: the consumer type whose rules apply, by default the type of the request. Raises ConfigError for an
        entry that is malformed, or that names missing credentials.
        """
        candidates = [*self._consumers.values(), *self._logins(request)]
        best = consumer_identity.best_match(
            request, [identity for identity, _ in candidates], matcher=matcher
        )
        specification = next((credentials for identity, credentials in candidates if identity is best), None)
        if specification is None:
            return None
        if isinstance(specification, Properties):
            return specification
        return self.specified(specification)

    def specified(self, specification: Entry, *, whose: str = "") -> Properties | None:
        """Return the credentials of a specification; None for a type that is not supported. Raises ConfigError.

        whose: the owner of the specification in messages, by default the configuration.
        """
        return self._follow(specification, _MOST_STEPS, whose)

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each type of credentials specification that is not supported."""
        used = [specification for _, specification in self._consumers.values()] + self._repositories
        known = ("Credentials", "Memory", "Alias", "DockerConfig")
        unknown = dict.fromkeys(settings.type_of(each) for each in used)
        return tuple(
            f"{self.configuration.name} names credentials of type {kind or 'none'}, which is not supported: they are "
            "not used"
            for kind in unknown
            if kind not in known
        )

    @functools.cached_property
    def _consumers(self) -> dict[frozenset[tuple[str, str]], tuple[ConsumerIdentity, Entry]]:
        """The credentials specifications by identity; the last entry for an identity counts."""
        consumers_by_identity: dict[frozenset[tuple[str, str]], tuple[ConsumerIdentity, Entry]] = {}
        for entry in self.configuration.of_type(settings.CREDENTIALS):
            for each in self._maps(entry, "consumers"):
                identity = self._properties(entry, each.get("identity"))
                chain = self._maps(each, "credentials", of=entry)
                if not chain:
                    raise settings.malformed(self.configuration.name, entry, "a consumer has no credentials")
                # The rest of the chain are credentials for reading the first one; nothing here needs any.
                consumers_by_identity[frozenset(identity.items())] = (dict(identity), chain[0])
        return consumers_by_identity

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
        """The credentials of memory repositories with their entries, by names of repository and credentials."""
        return {
            (str(entry.get("repoName")), str(each.get("credentialsName"))): (each, entry)
            for entry in self.configuration.of_type(settings.MEMORY)
            for each in self._maps(entry, "credentials")
        }

    def _follow(self, specification: Entry, steps: int, whose: str = "") -> Properties | None:
        """Return the credentials of a specification, which may lead to another one."""
        if not steps:
            raise self._endless(whose)
        kind, name = settings.type_of(specification), specification.get("credentialsName")
        if kind == "Credentials":
            return self._properties(specification, specification.get("properties"), whose)
        if kind == "DockerConfig" and isinstance(name, str):
            return self._login(specification, name, "", whose=whose)
        if kind == "Alias":
            # The alias stands for a repository; the name of the credentials in it stays.
            alias = self._alias(specification, whose)
            return self._follow({**alias, "credentialsName": name}, steps - 1, whose)
        if kind == "Memory":
            stored, entry = self._memory(specification, name, whose)
            reference = stored.get("reference")
            if reference is None:
                return self._properties(entry, stored.get("credentials"))
            return self._follow(self._map(reference, entry), steps - 1)
        return None

    def _alias(self, specification: Entry, whose: str) -> Entry:
        alias = specification.get("alias")
        if not isinstance(alias, str) or alias not in self._aliases:
            raise self._missing(f"the alias {alias!r} of a credentials repository", whose)
        return self._aliases[alias]

    def _memory(self, repository: Entry, name: Any, whose: str) -> tuple[Entry, Entry]:
        key = (str(repository.get("repoName")), str(name))
        if key not in self._memories:
            raise self._missing(f"credentials {key[1]!r} in a memory repository {key[0]!r}", whose)
        return self._memories[key]

    def _logins(self, request: ConsumerIdentity) -> Iterator[tuple[ConsumerIdentity, Properties]]:
        """Yield the logins in Docker's files for a registry, each with the identity that it matches."""
        host = request.get(consumer_identity.HOSTNAME)
        if request.get(consumer_identity.TYPE) != consumer_identity.OCI_REGISTRY or not host:
            return
        port = request.get(consumer_identity.PORT, "")
        path = request.get(consumer_identity.PATH_PREFIX, "").strip("/")
        stores = [each for each in self._repositories if settings.type_of(each) == "DockerConfig"]
        for store in stores:
            if store.get("propagateConsumerIdentity") is False:
                continue
            # A login to a host without a port is one to the default port of the scheme, and to no other.
            is_default_port = not port or port == (
                "80" if request.get(consumer_identity.SCHEME) == "http" else hosts.HTTPS_PORT
            )
            names = [*([host] if is_default_port else []), *([f"{host}:{port}"] if port else [])]
            identity = {
                consumer_identity.TYPE: consumer_identity.OCI_REGISTRY,
                consumer_identity.HOSTNAME: host,
            }
            properties = next((login for name in names if (login := self._login(store, name, path))), None)
            if properties is not None:
                yield {**identity, consumer_identity.PORT: port} if port else identity, properties

    def _login(self, store: Entry, registry: str, path: str, *, whose: str = "") -> Properties | None:
        registry = normalize_hub(registry)
        inline = store.get("dockerConfig")
        name = store.get("dockerConfigFile")
        if inline is None and not name and home_directory(self.environ) is None:
            return None
        name = name or "~/.docker/config.json"
        if inline is None and isinstance(name, str):
            file = expand_home(name, self.environ)
            login = logins.find_in(CredentialsFile(file, read(file), self.environ), registry, path)
        else:
            document = dict(self._map(inline, store, whose))
            holder = whose or self.configuration.name
            login = logins.find_in(CredentialsFile(holder, document, self.environ), registry, path)
        return of_login(login) if login else None

    def _maps(self, holder: Entry, key: str, of: Entry | None = None) -> Sequence[Entry]:
        """Return a list of maps. Raises ConfigError for another value."""
        entry = holder if of is None else of
        values = holder.get(key) or []
        if not isinstance(values, list):
            raise settings.malformed(self.configuration.name, entry, f"{key} must be a list")
        return [self._map(each, entry) for each in values]

    def _map(self, value: Any, entry: Entry, whose: str = "") -> Entry:
        if not isinstance(value, dict):
            raise settings.malformed(whose or self.configuration.name, entry, "a value must be a map")
        return value

    def _properties(self, entry: Entry, value: Any, whose: str = "") -> Properties:
        properties = self._map({} if value is None else value, entry, whose)
        return Properties(
            {name: self._text(name, part, entry, whose=whose) for name, part in properties.items()}
        )

    def _text(self, name: str, value: Any, entry: Entry, *, whose: str) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if value is None or isinstance(value, str | int):
            return "" if value is None else str(value)
        raise settings.malformed(
            whose or self.configuration.name, entry, f"{name} must be text; put it in quotes"
        )

    def _endless(self, whose: str) -> ConfigError:
        return ConfigError(
            f"{whose or self.configuration.name} has credentials that refer to each other without end; correct one of "
            "the names"
        )

    def _missing(self, what: str, whose: str) -> ConfigError:
        where = f"in {self.configuration.name}" if whose else "there"
        return ConfigError(
            f"{whose or self.configuration.name} names {what}, which is not {where}; add it or correct the name"
        )
