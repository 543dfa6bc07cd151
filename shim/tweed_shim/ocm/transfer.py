"""Transfer: component versions and their content, from their repository to another one."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from tweed_shim.base.option_names import option
from tweed_shim.base.records import Record, replace
from tweed_shim.errors import ComponentError
from tweed_shim.ocm import access_methods, access_spec, descriptor_codec, repositories, resource_content
from tweed_shim.ocm.access_spec import LOCAL_BLOB, Access, access_type, local_reference, media_type
from tweed_shim.ocm.blob_access import Blob
from tweed_shim.ocm.component_descriptor import ComponentDescriptor, Resource, Source
from tweed_shim.ocm.references import RepositorySpec
from tweed_shim.ocm.repository import Addition, ComponentVersion, Repository
from tweed_shim.ocm.session import Session

Report = Callable[[str], None]


class TransferOptions(Record):
    """What is transferred, and how.

    recursive: all that is referenced too. copy_resources, copy_sources: embed content from elsewhere.
    keep_global_access: a local blob keeps its global access. overwrite: replace existing versions that differ.
    file_format: of a new archive, see ctf.FORMATS.
    """

    recursive: bool = False
    copy_resources: bool = False
    copy_sources: bool = False
    keep_global_access: bool = False
    overwrite: bool = False
    file_format: str = ""


class TransferResult(Record):
    """The result for one component version; `done` is False where the target had it already."""

    component: str
    version: str
    done: bool


def transfer(
    session: Session,
    component_versions: Iterable[ComponentVersion],
    target: RepositorySpec,
    *,
    options: TransferOptions,
    report: Report,
) -> list[TransferResult]:
    """Transfer component versions to a repository, after all that they reference. An archive gets all or nothing.

    report: receives one line for each step. Raises ComponentError where something is missing or damaged, or the target
    has a version that differs, and RegistryError and HostError.
    """
    with (
        ExitStack() as stack,
        repositories.open_for_writing(
            target, session.connection, options.file_format, report=report
        ) as repository,
    ):
        # The contents are read when the target is written, at the end of this block: the stack stays open until then.
        work = _Transfer(session, repository, options, report, stack)
        every = session.closure(component_versions) if options.recursive else component_versions
        return [work.take(each) for each in every]


class _Transfer(Record):
    """A running transfer."""

    session: Session
    target: Repository
    options: TransferOptions
    report: Report
    stack: ExitStack

    def take(self, version: ComponentVersion) -> TransferResult:
        descriptor, existing = version.descriptor, self._existing(version)
        if existing is not None and self._is_current(version, existing):
            self.report(f"{version} exists already")
            return TransferResult(descriptor.name, descriptor.version, False)
        self.report(f"transferring {version}")
        self.target.add(self._addition(version))
        return TransferResult(descriptor.name, descriptor.version, True)

    def _existing(self, version: ComponentVersion) -> ComponentVersion | None:
        """Return the existing version of the target, None without one; a damaged one may be overwritten."""
        try:
            return self.target.lookup(version.descriptor.name, version.descriptor.version)
        except ComponentError:
            if self.options.overwrite:
                return None
            raise

    def _is_current(self, version: ComponentVersion, existing: ComponentVersion) -> bool:
        """Whether the existing version needs no change. Raises ComponentError where it must not be changed."""
        if not equal(version.descriptor, existing.descriptor):
            if self.options.overwrite:
                return False
            raise ComponentError(
                f"{version} exists in {self.target.what} and differs; use {option('--overwrite')} to replace it"
            )
        descriptor = existing.descriptor
        by_value = [each.access for each in descriptor.resources if self.options.copy_resources]
        by_value += [each.access for each in descriptor.sources if self.options.copy_sources]
        return not any(map(_is_elsewhere, by_value))

    def _addition(self, version: ComponentVersion) -> Addition:
        descriptor, blobs = version.descriptor, list[Blob]()

        def moved(elements: tuple[Any, ...], *, copy: bool) -> tuple[Any, ...]:
            return tuple(self._moved(version, each, blobs, copy=copy) for each in elements)

        changed = replace(
            descriptor,
            resources=moved(descriptor.resources, copy=self.options.copy_resources),
            sources=moved(descriptor.sources, copy=self.options.copy_sources),
        )
        # An unchanged descriptor keeps its bytes, whichever tool wrote them.
        text = version.text if changed == descriptor else descriptor_codec.encode(changed)
        return Addition(changed, text, blobs)

    def _moved(
        self, version: ComponentVersion, element: Resource | Source, blobs: list[Blob], *, copy: bool
    ) -> Resource | Source:
        """Return an element as the target gets it; its content is added to `blobs` if the target gets that too."""
        elsewhere = _is_elsewhere(element.access)
        if local_reference(element.access) is None and not (elsewhere and copy):
            return element
        if elsewhere:
            self.report(f"fetching {resource_content.describe(version, element)}")
        blob = access_methods.get_blob(
            resource_content.access_request(version, element, self.session.connection, stack=self.stack)
        )
        if isinstance(element, Resource) and element.digest and resource_content.can_verify(element.digest):
            resource_content.verify(blob, element.digest)
        blobs.append(blob)
        moved_access = _local_access(version, element.access, blob)
        if self.options.keep_global_access and (global_access := access_spec.global_access(element.access)):
            moved_access["globalAccess"] = global_access
        return replace(element, access=moved_access)


def _is_elsewhere(specification: Access) -> bool:
    return local_reference(specification) is None and access_type(specification) != access_methods.NO_CONTENT


def _local_access(version: ComponentVersion, old: Access, blob: Blob) -> dict[str, Any]:
    """Return the access to a local blob, like the reference without the global access of the old one."""
    new = {"localReference": blob.digest, "mediaType": blob.media_type, "type": LOCAL_BLOB}
    if hint := access_methods.name_hint(version, old):
        new["referenceName"] = hint
    if local_reference(old) == blob.digest and media_type(old) == blob.media_type:
        # The access may have an old type name; that is no reason to change the descriptor.
        kept = {key: value for key, value in old.items() if key != "globalAccess"}
        return kept if "localReference" in kept else new
    return new


def equal(one: ComponentDescriptor, other: ComponentDescriptor) -> bool:
    """Whether two descriptors are equal apart from the places of their contents, and from their schema."""
    return _essence(one) == _essence(other)


def _essence(descriptor: ComponentDescriptor) -> ComponentDescriptor:
    def bare(elements: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(replace(each, access={}) for each in elements)

    return replace(
        descriptor,
        schema="",
        repository_contexts=(),
        resources=bare(descriptor.resources),
        sources=bare(descriptor.sources),
    )
