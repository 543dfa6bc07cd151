"""Carry out an action of a package: the executor's image, its request, its run, and what it has made."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from tweed_shim.base import files, named_files, trace
from tweed_shim.base.records import replace
from tweed_shim.errors import BadReference, ConfigError, HostError, OperationFailed, OutputsLost, TimedOut
from tweed_shim.host import workdirs
from tweed_shim.image import reference as references
from tweed_shim.image.store import Image
from tweed_shim.ocm import resource_images
from tweed_shim.ocm.session import Session
from tweed_shim.runner import Call, Runner
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.recorded_run import Job
from tweed_shim.runtime.request import InputVolume, OutputVolume
from tweed_shim.toi import common_fields, contract, inputs, outputs
from tweed_shim.toi.outputs import Outputs
from tweed_shim.toi.preparation import Prepared


def time_limit(timeout: float | None) -> float:
    """Return how many seconds an executor may take, and so may all templates before it; None is for the usual limit."""
    return contract.TIMEOUT if timeout is None else timeout


class Result(NamedTuple):
    """What an executor made, and why it failed, or not all that it made could be kept, where that is so."""

    outputs: Outputs
    failure: OperationFailed | TimedOut | OutputsLost | None


def run(runner: Runner, session: Session, prepared: Prepared, *, every_output: bool = False) -> Result:
    """Carry the action out. A failure of the executor is part of the result: it may have outputs nevertheless.

    every_output: keep files that the package has no name for. Raises ImageError, RegistryError, HostError and so on
    where it could not be run.
    """
    directory = workdirs.directory(workdirs.tmp_directory(runner.root), runner.host.ids)
    with runner.image(_source(runner, session, prepared)) as image, directory as work:
        with trace.span("inputs"):
            repository = inputs.write_repository(prepared, work, session, runner.console.info)
            given = InputVolume(contract.INPUTS, inputs.contents(prepared), {contract.REPOSITORY: repository})
        names = prepared.execution.entry.outputs
        kept = files.make_private(os.path.join(work, "outputs"))
        volume = OutputVolume(contract.OUTPUTS, kept, tuple(names), every_output, outputs.LIMIT)
        failure: OperationFailed | TimedOut | None = None
        try:
            runner.run(runner.request(image, _call(prepared, given, volume)), _job(prepared, image))
        except (OperationFailed, TimedOut) as error:
            failure = error
        with trace.span("collect"):
            found = outputs.collect(kept, names)
    for name in found.missing:
        runner.console.warn(f"the executor did not write {name}, which is mapped to an output")
    if found.left_out:
        runner.console.warn(
            f"left out of the executor's outputs: {', '.join(found.left_out)}; only plain files are kept, "
            "so have its author write files"
        )
    return Result(found, _judge(runner.console, prepared, found, failure))


def _judge(
    console: Console, prepared: Prepared, found: Outputs, failure: OperationFailed | TimedOut | None
) -> OperationFailed | TimedOut | OutputsLost | None:
    """The failure of the executor; where there is none, that of its outputs."""
    if failure is None and found.lost:
        return OutputsLost(
            f"{prepared.version} {prepared.execution.action} was carried out, but of its outputs "
            f"{'; '.join(found.lost)}: the author of the executor has to change that"
        )
    for each in found.lost:
        console.warn(f"of the executor's outputs {each}")
    return failure


def config(runner: Runner, session: Session, prepared: Prepared) -> dict[str, Any]:
    """Return the `config.json` that the action would run with. Nothing is run or changed, but the image is pulled."""
    with runner.image(_source(runner, session, prepared)) as image:
        volumes = (
            InputVolume(contract.INPUTS, {}),
            OutputVolume(contract.OUTPUTS, "", (), False, outputs.LIMIT),
        )
        return runner.config(runner.request(image, _call(prepared, *volumes)), name="toi")


def _source(
    runner: Runner, session: Session, prepared: Prepared
) -> references.Reference | Callable[[], Image]:
    """What the executor's image is pulled by: its reference, or a function that gets it out of the component."""
    image = prepared.execution.details.image
    if isinstance(image, common_fields.Image):
        return reference(image)
    return partial(
        resource_images.pull_image,
        runner.root,
        image.owner,
        image.resource,
        session.connection,
        policy=runner.options.pull,
        platform=runner.options.platform,
        report=runner.console.report,
        idmap=runner.host.ids,
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
    return replace(found, digest=references.check_digest(image.digest, f"{image.ref}@{image.digest}"))


def _call(prepared: Prepared, given: InputVolume, volume: OutputVolume) -> Call:
    arguments = prepared.execution.action, str(prepared.version)
    return Call(arguments, contract.TIMEOUT, inputs=given, outputs=volume)


def _job(prepared: Prepared, image: Image) -> Job:
    action = prepared.execution.action
    record = {
        "operation": action,
        "image": image.reference,
        "digest": image.digest,
        "component": str(prepared.version),
    }
    return Job(f"{prepared.version} {action}", record)


def create_environment(
    prepared: Prepared, session: Session, directory: str, report: Callable[[str], None]
) -> None:
    """Make the tree that an executor works with in a directory, for running one by hand.

    It holds `inputs`, `outputs`, and `properties`, which says what would be run. Raises ConfigError where the directory
    holds something already, HostError where it cannot be made; nothing is there where it fails.
    """
    try:
        with named_files.resolved(directory) as target:
            if target.status is not None and not (os.path.isdir(target.path) and not os.listdir(target.path)):
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
        "image": str(prepared.execution.details.image),
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
