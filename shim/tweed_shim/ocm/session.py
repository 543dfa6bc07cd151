"""Sessions: look up component versions and resources, in a given repository and then in further ones."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from tweed_shim.base.option_names import option
from tweed_shim.base.text import quoted
from tweed_shim.errors import ComponentError
from tweed_shim.ocm import element_identity, references, versions
from tweed_shim.ocm.component_archive import ComponentArchive
from tweed_shim.ocm.component_descriptor import Identity, Resource
from tweed_shim.ocm.ocmconfig import OcmConfiguration
from tweed_shim.ocm.references import Location, RepositorySpec
from tweed_shim.ocm.registry_store import ConnectionSettings
from tweed_shim.ocm.repositories import open_repository
from tweed_shim.ocm.repository import ComponentVersion, Repository

Path = tuple[str, ...]


class Session:
    """Repositories that stay open until the end of a `with` block.

    lookups: repositories to search for references after the given repository. configuration: names further ones.
    """

    def __init__(
        self,
        *,
        connection: ConnectionSettings | None = None,
        lookups: Sequence[str] = (),
        configuration: OcmConfiguration | None = None,
    ) -> None:
        self.connection = connection or ConnectionSettings()
        self._configuration = configuration or OcmConfiguration()
        self._lookups = [self._specified(each) for each in lookups]
        self._stack = ExitStack()
        self._open: dict[RepositorySpec, Repository] = {}

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all repositories."""
        self._stack.close()

    def repository(self, specification: RepositorySpec) -> Repository:
        """Open a repository for reading. Raises ComponentError where there is none."""
        if specification not in self._open:
            self._open[specification] = self._stack.enter_context(
                open_repository(specification, self.connection)
            )
        return self._open[specification]

    def locate(self, text: str, repository: str = "") -> tuple[Repository | None, Location]:
        """Return the open repository of a reference, and its component and version.

        repository: the one of a reference without a repository. Raises BadReference and ComponentError.
        """
        alias, _, component = text.partition("//")
        if not repository and alias in self._configuration.aliases:
            repository, text = alias, component
        if repository:
            specification: RepositorySpec | None = self._specified(repository)
            location = references.parse_component(text) if text else Location(specification)
        else:
            location = references.parse(text)
            specification = location.repository
        return None if specification is None else self.repository(specification), location

    def _specified(self, repository: str) -> RepositorySpec:
        """Return a repository by its alias in the configuration, or by its reference."""
        alias = self._configuration.aliases.get(repository)
        return (
            references.parse_repository(repository) if alias is None else references.spec_from_fields(alias)
        )

    def component_version(self, text: str, repository: str = "", constraint: str = "") -> ComponentVersion:
        """Return the component version of a reference; without a version the newest that meets the constraint.

        Raises BadReference, BadVersion, ComponentError (also where it does not exist) and RegistryError.
        """
        opened, location = self.locate(text, repository)
        # A component archive holds one component version, which need not be named.
        component = location.component or (
            opened.components()[0] if isinstance(opened, ComponentArchive) else ""
        )
        if not component:
            raise ComponentError(f"{quoted(text)} names no component; write REPOSITORY//NAME:VERSION")
        first = [] if opened is None else [opened]
        version = location.version or self._newest(first, component, constraint)
        return self.find(component, version, first)

    def certain_version(self, text: str, repository: str = "") -> ComponentVersion:
        """Return the component version of a reference, which must have a version if there are several.

        Use it where a new release must not change the result. Raises ComponentError as `component_version` does, and
        where the reference has no version and there are several.
        """
        opened, location = self.locate(text, repository)
        if opened is not None and location.component and not location.version:
            available = opened.versions(location.component)
            if len(available) > 1:
                listed = ", ".join(versions.ordered(available))
                raise ComponentError(f"{location.component} has several versions, {listed}; name one")
        return self.component_version(text, repository)

    def find(
        self, component: str, version: str, first: Sequence[Repository] = (), *, path: Path = ()
    ) -> ComponentVersion:
        """Return a component version from the `first` repositories that has it, else from the further ones.

        path: the references that led to it, for the error. Raises ComponentError where it does not exist.
        """
        searched = []
        for repository in self._repositories(component, first):
            searched.append(repository.what)
            if (match := repository.lookup(component, version)) is not None:
                return match
        if not searched:
            raise _nowhere(f"{component}:{version}")
        via = f", which {path_text(path)} references," if path else ""
        where = ", ".join(searched)
        raise ComponentError(
            f"the component version {component}:{version}{via} does not exist in {where}; "
            f"check its name, or name another repository with {option('--lookup')}"
        )

    def follow(self, start: ComponentVersion, path: Sequence[Identity]) -> ComponentVersion:
        """Return the component version at the end of a chain of references, each given by its identity.

        Raises ComponentError with the whole chain where a reference or its component version does not exist.
        """
        path_so_far: Path = (str(start),)
        version = start
        for reference_identity in path:
            reference = element_identity.resolve(version.descriptor.references, reference_identity)
            if reference is None:
                raise ComponentError(
                    f"{path_text(path_so_far)} has no reference {element_identity.describe(reference_identity)}; use "
                    "one of these: "
                    f"{_listing(version.descriptor.references)}"
                )
            version = self.find(
                reference.component, reference.version, [version.repository], path=path_so_far
            )
            path_so_far = (*path_so_far, str(version))
        return version

    def resource(
        self, start: ComponentVersion, resource_identity: Identity, path: Sequence[Identity] = ()
    ) -> tuple[ComponentVersion, Resource]:
        """Return the resource with a complete identity, in the component version at the end of a chain of references.

        Descriptors refer to resources of others so. Raises ComponentError.
        """
        owner = self.follow(start, path)
        match = element_identity.resolve(owner.descriptor.resources, resource_identity)
        if match is None:
            raise ComponentError(
                f"{owner} has no resource {element_identity.describe(resource_identity)}; use one of these: "
                f"{_listing(owner.descriptor.resources)}"
            )
        return owner, match

    def closure(self, starts: Iterable[ComponentVersion]) -> Iterator[ComponentVersion]:
        """Yield component versions and everything that they reference at any depth, each once, references first.

        Raises ComponentError where one does not exist or the references form a cycle.
        """
        seen: set[str] = set()
        for start in starts:
            yield from self._closure(start, (), seen)

    def _closure(self, start: ComponentVersion, path: Path, seen: set[str]) -> Iterator[ComponentVersion]:
        path_so_far = (*path, str(start))
        if str(start) in path:
            raise ComponentError(
                f"the references form a cycle ({path_text(path_so_far)}); remove one of them"
            )
        if str(start) in seen:
            return
        for reference in start.descriptor.references:
            referenced = self.find(
                reference.component, reference.version, [start.repository], path=path_so_far
            )
            yield from self._closure(referenced, path_so_far, seen)
        seen.add(str(start))
        yield start

    def _newest(self, first: Sequence[Repository], component: str, constraint: str) -> str:
        available: list[str] = []
        for repository in self._repositories(component, first):
            available = repository.versions(component)
            if newest := versions.newest(available, constraint):
                return newest
        if available:
            raise ComponentError(
                f"no version of {component} meets {constraint!r}; use one of {', '.join(versions.ordered(available))}"
            )
        where = ", ".join(each.what for each in self._repositories(component, first))
        if not where:
            raise _nowhere(component)
        raise ComponentError(f"the component {component} does not exist in {where}; check its name")

    def _repositories(self, component: str, first: Sequence[Repository]) -> Iterator[Repository]:
        """Yield the repositories to search, each once, and open each only when it is reached."""
        seen = list(first)
        yield from first
        configured = map(references.spec_from_fields, self._configuration.resolvers_for(component))
        for specification in (*self._lookups, *configured):
            repository = self.repository(specification)
            if repository not in seen:
                seen.append(repository)
                yield repository


def _nowhere(name: str) -> ComponentError:
    return ComponentError(
        f"no repository was given for {name}; write REPOSITORY//{name}, or use "
        f"{option('--repo')} or {option('--lookup')}"
    )


def path_text(path: Path) -> str:
    """Return a chain of references as text for people."""
    return " -> ".join(path)


def _listing(elements: Sequence[Any]) -> str:
    return (
        ", ".join(element_identity.describe(element_identity.of_element(each, elements)) for each in elements)
        or "none"
    )
