"""Looking for component versions and resources: in the repository that was named, and in further ones."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

from tweed_shim.errors import ComponentError
from tweed_shim.letters import quoted
from tweed_shim.ocm import archives, component_archive, ctf, identity, locations, versions
from tweed_shim.ocm.component_archive import ComponentArchive
from tweed_shim.ocm.configuration import Configuration
from tweed_shim.ocm.ctf import Ctf
from tweed_shim.ocm.descriptor import Identity, Resource
from tweed_shim.ocm.locations import ARCHIVE, CTF, FILE, REGISTRY, Location, Specification
from tweed_shim.ocm.mapping import OciRepository
from tweed_shim.ocm.registries import Connection, RegistryStore
from tweed_shim.ocm.repository import ComponentVersion, Repository
from tweed_shim.option_names import option

Path = tuple[str, ...]

# What tells one kind of archive from the other.
_NAMES = {**dict.fromkeys(ctf.INDEXES, CTF), component_archive.DESCRIPTOR: ARCHIVE}


class Session:
    """Repositories that are open until the end of a `with` block.

    lookups: repositories to look into, after the one that was named, for whatever is referenced. configuration:
    names further ones.
    """

    def __init__(
        self,
        *,
        connection: Connection | None = None,
        lookups: Sequence[str] = (),
        configuration: Configuration | None = None,
    ) -> None:
        self.connection = connection or Connection()
        self._configuration = configuration or Configuration()
        self._lookups = [self._specified(each) for each in lookups]
        self._stack = ExitStack()
        self._open: dict[Specification, Repository] = {}

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all that was opened."""
        self._stack.close()

    def repository(self, specification: Specification) -> Repository:
        """Open a repository to read. Raises ComponentError where it is none."""
        if specification not in self._open:
            self._open[specification] = self._stack.enter_context(opened(specification, self.connection))
        return self._open[specification]

    def locate(self, text: str, repository: str = "") -> tuple[Repository | None, Location]:
        """What a reference names, relative to a repository where one is given, and the open repository.

        Raises BadReference and ComponentError.
        """
        alias, _, component = text.partition("//")
        if not repository and alias in self._configuration.aliases:
            repository, text = alias, component
        if repository:
            place: Specification | None = self._specified(repository)
            location = locations.parse_component(text) if text else Location(place)
        else:
            location = locations.parse(text)
            place = location.repository
        return None if place is None else self.repository(place), location

    def _specified(self, repository: str) -> Specification:
        """A repository, by the name that the configuration gives it, or as it is written."""
        alias = self._configuration.aliases.get(repository)
        return locations.parse_repository(repository) if alias is None else locations.from_fields(alias)

    def component_version(self, text: str, repository: str = "", constraint: str = "") -> ComponentVersion:
        """Return the component version that a reference names; without a version the newest that meets the constraint.

        Raises BadReference, BadVersion, ComponentError (also where it is not there) and RegistryError.
        """
        found, location = self.locate(text, repository)
        # A component archive holds one component version, which need not be named.
        component = location.component or (
            found.components()[0] if isinstance(found, ComponentArchive) else ""
        )
        if not component:
            raise ComponentError(f"{quoted(text)} names no component: write REPOSITORY//NAME:VERSION")
        first = [] if found is None else [found]
        version = location.version or self._newest(first, component, constraint)
        return self.find(component, version, first)

    def certain_version(self, text: str, repository: str = "") -> ComponentVersion:
        """As `component_version`, for what must not be left to what was released last.

        Raises ComponentError where the reference has no version and there are several.
        """
        found, location = self.locate(text, repository)
        if found is not None and location.component and not location.version:
            there = found.versions(location.component)
            if len(there) > 1:
                listed = ", ".join(versions.ordered(there))
                raise ComponentError(f"{location.component} has several versions, {listed}: name one")
        return self.component_version(text, repository)

    def find(
        self, component: str, version: str, first: Sequence[Repository] = (), path: Path = ()
    ) -> ComponentVersion:
        """Look for a component version: in the `first` repositories, then in the further ones.

        path: through which references it was come to, for the error. Raises ComponentError where it is nowhere.
        """
        asked = []
        for repository in self._places(component, first):
            asked.append(repository.what)
            if (version_found := repository.lookup(component, version)) is not None:
                return version_found
        if not asked:
            raise _nowhere(f"{component}:{version}")
        way = f", which {shown(path)} references" if path else ""
        where = ", ".join(asked)
        raise ComponentError(
            f"the component version {component}:{version}{way} is not there: looked into {where}; "
            f"check its name, or name more with {option('--lookup')}"
        )

    def follow(self, start: ComponentVersion, path: Sequence[Identity]) -> ComponentVersion:
        """The component version at the end of a chain of references, each named by its identity.

        Raises ComponentError, with the whole chain, where a reference or what it names is not there.
        """
        way: Path = (str(start),)
        found = start
        for wanted in path:
            reference = identity.resolve(found.descriptor.references, wanted)
            if reference is None:
                raise ComponentError(
                    f"{shown(way)} has no reference {identity.show(wanted)}: it has "
                    f"{_listing(found.descriptor.references)}"
                )
            found = self.find(reference.component, reference.version, [found.repository], way)
            way = (*way, str(found))
        return found

    def resource(
        self, start: ComponentVersion, wanted: Identity, path: Sequence[Identity] = ()
    ) -> tuple[ComponentVersion, Resource]:
        """The resource that a complete identity names, in the component version at the end of a chain.

        That is how one descriptor refers to another's resources. Raises ComponentError.
        """
        owner = self.follow(start, path)
        found = identity.resolve(owner.descriptor.resources, wanted)
        if found is None:
            raise ComponentError(
                f"{owner} has no resource {identity.show(wanted)}: it has {_listing(owner.descriptor.resources)}"
            )
        return owner, found

    def closure(self, starts: Iterable[ComponentVersion]) -> Iterator[ComponentVersion]:
        """All that component versions reference, at any depth, and themselves: each once, before whoever references it.

        Raises ComponentError where something is missing or references go round in a circle.
        """
        seen: set[str] = set()
        for start in starts:
            yield from self._closure(start, (), seen)

    def _closure(self, start: ComponentVersion, path: Path, seen: set[str]) -> Iterator[ComponentVersion]:
        way = (*path, str(start))
        if str(start) in path:
            raise ComponentError(
                f"the references go round in a circle ({shown(way)}): have one of them made again"
            )
        if str(start) in seen:
            return
        for reference in start.descriptor.references:
            found = self.find(reference.component, reference.version, [start.repository], way)
            yield from self._closure(found, way, seen)
        seen.add(str(start))
        yield start

    def _newest(self, first: Sequence[Repository], component: str, constraint: str) -> str:
        there: list[str] = []
        for repository in self._places(component, first):
            there = repository.versions(component)
            if found := versions.newest(there, constraint):
                return found
        if there:
            raise ComponentError(
                f"no version of {component} meets {constraint!r}: there are {', '.join(versions.ordered(there))}"
            )
        where = ", ".join(each.what for each in self._places(component, first))
        if not where:
            raise _nowhere(component)
        raise ComponentError(f"the component {component} is not there: looked into {where}; check its name")

    def _places(self, component: str, first: Sequence[Repository]) -> Iterator[Repository]:
        """The repositories to ask, each once, opened when it is its turn."""
        seen = list(first)
        yield from first
        configured = map(locations.from_fields, self._configuration.resolvers_for(component))
        for specification in (*self._lookups, *configured):
            repository = self.repository(specification)
            if repository not in seen:
                seen.append(repository)
                yield repository


def _nowhere(name: str) -> ComponentError:
    return ComponentError(
        f"no repository was named to look for {name} in: write REPOSITORY//{name}, or use "
        f"{option('--repo')} or {option('--lookup')}"
    )


def shown(path: Path) -> str:
    """A chain of references for people."""
    return " -> ".join(path)


def _listing(elements: Sequence[Any]) -> str:
    return ", ".join(identity.show(identity.identity(each, elements)) for each in elements) or "none"


@contextmanager
def opened(specification: Specification, connection: Connection) -> Iterator[Repository]:
    """A repository to read, for the length of a block. Raises ComponentError where it is none."""
    with ExitStack() as stack:
        if specification.kind == REGISTRY:
            yield registry(specification, connection, stack)
            return
        members = stack.enter_context(archives.opened(specification.path))
        names = [name for name, kind in _NAMES.items() if specification.kind in (kind, FILE)]
        kind = _NAMES.get(archives.first_of(members, names) or "")
        if kind == CTF:
            yield OciRepository(Ctf(specification.path, members))
        elif kind == ARCHIVE:
            yield ComponentArchive(specification.path, members)
        else:
            raise ComponentError(
                f"{specification.path} is no repository of components: it has neither {ctf.INDEX} (a transport "
                f"archive) nor {component_archive.DESCRIPTOR} (a component archive)"
            )


def registry(
    specification: Specification, connection: Connection, stack: ExitStack, *, writing: bool = False
) -> Repository:
    """A registry, open for as long as `stack` is."""
    store = RegistryStore(specification.host, connection, stack, plain=specification.plain, writing=writing)
    return OciRepository(store, specification.sub_path, specification.hashed_names)


@contextmanager
def written(
    specification: Specification,
    connection: Connection,
    file_format: str = "",
    *,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[Repository]:
    """A repository to write, for the length of a block. An archive has all that was added to it, or nothing.

    file_format: of a new archive. report: is told what is waited for. Raises ComponentError where it is none that can
    be written.
    """
    if specification.kind == REGISTRY:
        with ExitStack() as stack:
            yield registry(specification, connection, stack, writing=True)
        return
    if specification.kind == ARCHIVE:
        raise ComponentError(
            f"{specification.path} would be a component archive, which is not written: use ctf::"
        )
    note = f"waiting for another process that writes into {specification.path}"
    kind = file_format or specification.file_format or None
    with ctf.written(specification.path, kind, lambda: report(note)) as archive:
        yield OciRepository(archive)
