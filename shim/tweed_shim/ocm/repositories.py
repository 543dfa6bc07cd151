"""Open a repository by its specification: a registry, a transport archive or a component archive."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tweed_shim.errors import ComponentError
from tweed_shim.ocm import archive_files, component_archive, ctf
from tweed_shim.ocm.component_archive import ComponentArchive
from tweed_shim.ocm.ctf import Ctf
from tweed_shim.ocm.oci_repository import OciRepository
from tweed_shim.ocm.references import ANY_ARCHIVE, COMPONENT_ARCHIVE, CTF, REGISTRY, RepositorySpec
from tweed_shim.ocm.registry_store import ConnectionSettings, RegistryStore
from tweed_shim.ocm.repository import Repository

# The files by which the kinds of archives are recognised.
_KINDS = {**dict.fromkeys(ctf.INDEXES, CTF), component_archive.DESCRIPTOR: COMPONENT_ARCHIVE}


@contextmanager
def open_repository(specification: RepositorySpec, connection: ConnectionSettings) -> Iterator[Repository]:
    """Open a repository for reading, for the length of a block. Raises ComponentError where there is none."""
    with ExitStack() as stack:
        if specification.kind == REGISTRY:
            yield open_registry(specification, connection, stack)
            return
        members = stack.enter_context(archive_files.open_archive(specification.path))
        names = [name for name, kind in _KINDS.items() if specification.kind in (kind, ANY_ARCHIVE)]
        kind = _KINDS.get(archive_files.first_of(members, names) or "")
        if kind == CTF:
            yield OciRepository(Ctf(specification.path, members))
        elif kind == COMPONENT_ARCHIVE:
            yield ComponentArchive(specification.path, members)
        else:
            raise ComponentError(
                f"{specification.path} is no repository of components: it has neither {ctf.INDEX} (a transport "
                f"archive) nor {component_archive.DESCRIPTOR} (a component archive); name another path"
            )


def open_registry(
    specification: RepositorySpec, connection: ConnectionSettings, stack: ExitStack, *, writing: bool = False
) -> Repository:
    """Return a registry, which stays open as long as `stack`."""
    store = RegistryStore(specification.host, connection, stack, plain=specification.plain, writing=writing)
    return OciRepository(store, specification.sub_path, specification.hashed_names)


@contextmanager
def open_for_writing(
    specification: RepositorySpec,
    connection: ConnectionSettings,
    file_format: str = "",
    *,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[Repository]:
    """Open a repository for writing, for the length of a block. An archive gets all additions or none.

    file_format: of a new archive. report: receives a line where another process has to be waited for. Raises
    ComponentError where the repository cannot be written.
    """
    if specification.kind == REGISTRY:
        with ExitStack() as stack:
            yield open_registry(specification, connection, stack, writing=True)
        return
    if specification.kind == COMPONENT_ARCHIVE:
        raise ComponentError(
            f"{specification.path} would be a component archive, which is read-only; write a transport archive with "
            "ctf::PATH"
        )
    note = f"waiting for another process that writes to {specification.path}"
    new_format = file_format or specification.file_format or None
    with ctf.open_for_writing(specification.path, new_format, waiting=lambda: report(note)) as archive:
        yield OciRepository(archive)
