"""Transport: component versions with what belongs to them, from where they are to another repository."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, NamedTuple

from tweed_shim.errors import ComponentError
from tweed_shim.ocm import access, codec, resources
from tweed_shim.ocm import session as sessions
from tweed_shim.ocm.blobs import Blob
from tweed_shim.ocm.descriptor import Descriptor, Resource, Source
from tweed_shim.ocm.locations import Specification
from tweed_shim.ocm.repository import (
    LOCAL_BLOB,
    Access,
    Addition,
    ComponentVersion,
    Repository,
    kind_of,
    local_reference,
    media_type_of,
)
from tweed_shim.ocm.session import Session
from tweed_shim.option_names import option
from tweed_shim.records import Record, replace

Report = Callable[[str], None]


class Order(Record):
    """What is transferred and how.

    recursive: all that is referenced too. copy_resources, copy_sources: embed what is accessed elsewhere.
    keep_global_access: a local blob keeps the other access that it may have. overwrite: replace versions that are
    there and differ. file_format: of a new archive, see ctf.FORMATS.
    """

    recursive: bool = False
    copy_resources: bool = False
    copy_sources: bool = False
    keep_global_access: bool = False
    overwrite: bool = False
    file_format: str = ""


class Transferred(NamedTuple):
    """What became of a component version; `done` is False where the target had it already."""

    component: str
    version: str
    done: bool


def transfer(
    session: Session, wanted: Iterable[ComponentVersion], target: Specification, order: Order, report: Report
) -> list[Transferred]:
    """Have component versions in another repository, after all that they reference. An archive has all or nothing.

    report: is told each step in one line. Raises ComponentError where something is missing or damaged, or the target
    has a version that differs, and RegistryError and HostError.
    """
    with (
        ExitStack() as stack,
        sessions.written(target, session.connection, order.file_format, report=report) as repository,
    ):
        # The contents are read when the target is written, at the end of this block.
        work = _Work(session, repository, order, report, stack)
        every = session.closure(wanted) if order.recursive else wanted
        return [work.take(each) for each in every]


class _Work(Record):
    session: Session
    target: Repository
    order: Order
    report: Report
    stack: ExitStack

    def take(self, version: ComponentVersion) -> Transferred:
        about, there = version.descriptor, self._there(version)
        if there is not None and self._is_enough(version, there):
            self.report(f"{version} is there already")
            return Transferred(about.name, about.version, False)
        self.report(f"transferring {version}")
        self.target.add(self._addition(version))
        return Transferred(about.name, about.version, True)

    def _there(self, version: ComponentVersion) -> ComponentVersion | None:
        """What the target has; what is to be replaced may as well be damaged."""
        try:
            return self.target.lookup(version.descriptor.name, version.descriptor.version)
        except ComponentError:
            if self.order.overwrite:
                return None
            raise

    def _is_enough(self, version: ComponentVersion, there: ComponentVersion) -> bool:
        """Whether what the target has needs no change. Raises ComponentError where it may not be changed."""
        if not equal(version.descriptor, there.descriptor):
            if self.order.overwrite:
                return False
            raise ComponentError(
                f"{version} is in {self.target.what} already and differs: use {option('--overwrite')} to replace it"
            )
        held = there.descriptor
        by_value = [each.access for each in held.resources if self.order.copy_resources]
        by_value += [each.access for each in held.sources if self.order.copy_sources]
        return not any(map(_is_elsewhere, by_value))

    def _addition(self, version: ComponentVersion) -> Addition:
        about, blobs = version.descriptor, list[Blob]()

        def moved(elements: tuple[Any, ...], copy: bool) -> tuple[Any, ...]:
            return tuple(self._moved(version, each, copy, blobs) for each in elements)

        found = replace(
            about,
            resources=moved(about.resources, self.order.copy_resources),
            sources=moved(about.sources, self.order.copy_sources),
        )
        # What is not changed keeps its bytes, whoever wrote them.
        text = version.text if found == about else codec.encode(found)
        return Addition(found, text, blobs)

    def _moved(
        self, version: ComponentVersion, element: Resource | Source, copy: bool, blobs: list[Blob]
    ) -> Resource | Source:
        """An element as the target has it; its content is added to the blobs where the target gets it."""
        elsewhere = _is_elsewhere(element.access)
        if local_reference(element.access) is None and not (elsewhere and copy):
            return element
        if elsewhere:
            self.report(f"fetching {resources.describe(version, element)}")
        blob = access.reach(resources.request(version, element, self.session.connection, self.stack))
        if isinstance(element, Resource) and element.digest and resources.can_verify(element.digest):
            resources.verify(blob, element.digest)
        blobs.append(blob)
        wanted = _local_access(version, element.access, blob)
        if self.order.keep_global_access and (known := access.global_access(element.access)):
            wanted["globalAccess"] = known
        return replace(element, access=wanted)


def _is_elsewhere(specification: Access) -> bool:
    return local_reference(specification) is None and kind_of(specification) != access.NOTHING


def _local_access(version: ComponentVersion, old: Access, blob: Blob) -> dict[str, Any]:
    """The access to a local blob; like the reference, without the global one that it may have had."""
    wanted = {"localReference": blob.digest, "mediaType": blob.media_type, "type": LOCAL_BLOB}
    if hint := access.name_hint(version, old):
        wanted["referenceName"] = hint
    if local_reference(old) == blob.digest and media_type_of(old) == blob.media_type:
        # It may be called by another of its names; that is no reason to change a descriptor.
        same = {key: value for key, value in old.items() if key != "globalAccess"}
        return same if "localReference" in same else wanted
    return wanted


def equal(one: Descriptor, other: Descriptor) -> bool:
    """Whether two descriptors say the same, wherever each has its contents and whichever schema it is written in."""
    return _essence(one) == _essence(other)


def _essence(about: Descriptor) -> Descriptor:
    def bare(elements: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(replace(each, access={}) for each in elements)

    return replace(
        about, schema="", repository_contexts=(), resources=bare(about.resources), sources=bare(about.sources)
    )
