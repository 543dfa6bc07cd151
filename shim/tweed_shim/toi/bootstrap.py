"""Carry out an action of a package: the executor's image, its request, its run, and what it has made."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tweed_shim.base import files, named_files, trace
from tweed_shim.base.records import fields, replace
from tweed_shim.base.settings import Settings
from tweed_shim.errors import BadReference, ConfigError, HostError, OperationFailed, OutputsLost, TimedOut
from tweed_shim.host import workdirs
from tweed_shim.image import pull, store
from tweed_shim.image import reference as references
from tweed_shim.image.store import Image
from tweed_shim.ocm import resources
from tweed_shim.ocm.session import Session
from tweed_shim.runtime import host, log_space, process, spec
from tweed_shim.runtime.container import Console
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.options import RunOptions
from tweed_shim.runtime.recorded_run import Launch, launch
from tweed_shim.runtime.request import Given, Made, Request
from tweed_shim.runtime.security_options import Confinement, confine
from tweed_shim.toi import common_fields, contract, inputs, outputs
from tweed_shim.toi.execution import ImageResource
from tweed_shim.toi.outputs import Outputs
from tweed_shim.toi.preparation import Prepared


class Place(NamedTuple):
    """Where actions are carried out, and how; `at` makes one."""

    settings: Settings
    session: Session
    options: RunOptions
    console: Console
    host: Host
    confinement: Confinement


def at(settings: Settings, session: Session, options: RunOptions, console: Console) -> Place:
    """A place on this host. Raises ConfigError and HostError for options that the host cannot give."""
    here = host.inspect()
    confinement = confine(here, options)
    return Place(settings, session, options, console, here, confinement)


def time_limit(timeout: float | None) -> float:
    """Return how many seconds an executor may take, and so may all templates before it; None is for the usual limit."""
    return contract.TIMEOUT if timeout is None else timeout


class Result(NamedTuple):
    """What an executor made, and why it failed, or not all that it made could be kept, where that is so."""

    outputs: Outputs
    failure: OperationFailed | TimedOut | OutputsLost | None


def run(place: Place, prepared: Prepared, *, every_output: bool = False) -> Result:
    """Carry the action out. A failure of the executor is part of the result: it may have outputs nevertheless.

    every_output: keep files that the package has no name for. Raises ImageError, RegistryError, HostError and so on
    where it could not be run.
    """
    directory = workdirs.directory(workdirs.place(place.settings.root), place.host.ids)
    with _image(place, prepared) as image, directory as work:
        with trace.span("inputs"):
            repository = inputs.write_repository(prepared, work, place.session, place.console.info)
            given = Given(contract.INPUTS, inputs.contents(prepared), {contract.REPOSITORY: repository})
        names = prepared.execution.executor.outputs
        kept = files.make_private(os.path.join(work, "outputs"))
        made = Made(contract.OUTPUTS, kept, tuple(names), every_output, outputs.LIMIT)
        failure: OperationFailed | TimedOut | None = None
        try:
            launch(_request(place, prepared, image, given, made), _launch(place, prepared, image))
        except (OperationFailed, TimedOut) as error:
            failure = error
        with trace.span("collect"):
            found = outputs.collect(kept, names)
    for name in found.missing:
        place.console.warn(f"the executor did not write {name}, which is mapped to an output")
    if found.left_out:
        place.console.warn(
            f"left out of the executor's outputs: {', '.join(found.left_out)}; only plain files are kept, "
            "so have its author write files"
        )
    return Result(found, _judge(place, prepared, found, failure))


def _judge(
    place: Place, prepared: Prepared, found: Outputs, failure: OperationFailed | TimedOut | None
) -> OperationFailed | TimedOut | OutputsLost | None:
    """The failure of the executor; where there is none, that of its outputs."""
    if failure is None and found.lost:
        return OutputsLost(
            f"{prepared.version} {prepared.execution.action} was carried out, but of its outputs "
            f"{'; '.join(found.lost)}: the author of the executor has to change that"
        )
    for each in found.lost:
        place.console.warn(f"of the executor's outputs {each}")
    return failure


def config(place: Place, prepared: Prepared) -> dict[str, Any]:
    """The `config.json` that the action would run with. Runs nothing, changes nothing but to pull the image."""
    with _image(place, prepared) as image:
        given, made = Given(contract.INPUTS, {}), Made(contract.OUTPUTS, "", (), False, outputs.LIMIT)
        request = _request(place, prepared, image, given, made)
        directory = os.path.join(place.settings.root, "scratch")
        return spec.generate(request, place.host, scratch=directory, name="toi")


@contextmanager
def _image(place: Place, prepared: Prepared) -> Iterator[Image]:
    log_space.relieve_disk(place.settings.root)
    with pull.held(lambda: _obtain(place, prepared)) as image, store.disk_faults(place.settings.root):
        yield image


def _obtain(place: Place, prepared: Prepared) -> Image:
    with trace.span("resolve"):
        return _image_of(place, prepared.execution.image)


def _image_of(place: Place, wanted: common_fields.Image | ImageResource) -> Image:
    options = place.options
    root, report, ids = place.settings.root, place.console.report, place.host.ids
    if isinstance(wanted, common_fields.Image):
        return pull.obtain(
            root,
            reference(wanted),
            pull=options.pull,
            platform=options.platform,
            connect=options.connect,
            report=report,
            idmap=ids,
        )
    return resources.pull(
        root,
        wanted.owner,
        wanted.resource,
        place.session.connection,
        policy=options.pull,
        platform=options.platform,
        report=report,
        idmap=ids,
    )


def reference(image: common_fields.Image) -> references.Reference:
    """What an image that is named directly is to be pulled by: from a registry, with the digest that it has to have.

    Raises BadReference for anything else.
    """
    found = references.parse(image.ref)
    if found.transport != "docker":
        raise BadReference(
            f"the image {image.ref} of the executor is a local one: only registries are allowed"
        )
    if not image.digest:
        return found
    if found.digest not in (None, image.digest):
        raise BadReference(
            f"the image {image.ref} of the executor has another digest beside it: {image.digest}"
        )
    return references.parse(f"docker://{replace(found, digest=None)}@{image.digest}")


def _launch(place: Place, prepared: Prepared, image: Image) -> Launch:
    action = prepared.execution.action
    record = {
        "operation": action,
        "image": image.reference,
        "digest": image.digest,
        "component": str(prepared.version),
    }
    what = f"{prepared.version} {action}"
    return Launch(place.settings, place.host, place.console, what, record, scratch=place.options.scratch)


def _request(place: Place, prepared: Prepared, image: Image, given: Given, made: Made) -> Request:
    options, config = place.options, image.config
    started = process.resolve(
        image.rootfs,
        what=image.reference,
        entrypoint=config.entrypoint,
        arguments=(prepared.execution.action, str(prepared.version)),
        env=config.env,
        user=config.user,
        cwd=config.working_dir,
        variables={},
        ids=place.confinement.userns or place.host.ids,
    )
    request = Request(
        rootfs=image.rootfs,
        **fields(started),
        mounts=process.network_mounts(options.network),
        given=given,
        made=made,
        network=options.network,
        limits=options.limits,
        timeout=time_limit(options.timeout),
        read_only=options.read_only,
        stop_signal=config.stop_signal,
        architecture=config.architecture,
        **fields(place.confinement),
    )
    spec.check_image(request, place.host, image.reference)
    return request


def create_environment(
    prepared: Prepared, session: Session, directory: str, report: Callable[[str], None]
) -> None:
    """Make the tree that an executor works with in a directory, for running one by hand.

    It holds `inputs`, `outputs`, and `properties`, which says what would be run. Raises ConfigError where the directory
    holds something already, HostError where it cannot be made; nothing is there where it fails.
    """
    try:
        with named_files.resolved(directory) as target:
            if target.about is not None and not (os.path.isdir(target.path) and not os.listdir(target.path)):
                raise ConfigError(f"{directory} is there already and not an empty directory: name another")
            _fill_environment(prepared, session, target.path, report)
    except OSError as error:
        raise HostError(f"{directory} cannot be made ({error.strerror}): name another directory") from error


def _fill_environment(prepared: Prepared, session: Session, path: str, report: Callable[[str], None]) -> None:
    from tweed_shim import spiff

    beside = files.beside(path)
    properties = {
        "action": prepared.execution.action,
        "componentVersion": str(prepared.version),
        "image": str(prepared.execution.image),
    }
    try:
        given = files.make_private(os.path.join(beside, "inputs"))
        files.make_private(os.path.join(beside, "outputs"))
        for name, data in inputs.contents(prepared).items():
            files.write_new(os.path.join(given, name), data)
        inputs.write_repository(prepared, given, session, report)
        files.write_whole(os.path.join(beside, "properties"), spiff.dump(properties).encode())
        os.rename(beside, path)
    except BaseException:
        import shutil

        shutil.rmtree(beside, ignore_errors=True)
        raise
