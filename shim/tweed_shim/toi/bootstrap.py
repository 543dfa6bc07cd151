"""Carry out an action of a package: get the executor's image, run it, and collect its outputs."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from tweed_shim.base import files, named_files, trace
from tweed_shim.base.records import Record, replace
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
    """Return the seconds that an executor, and all templates before it, may take; None stands for the usual limit."""
    return contract.TIMEOUT if timeout is None else timeout


class Result(Record):
    """The outputs of an executor, and why it failed or lost some of them; None where neither happened."""

    outputs: Outputs
    failure: OperationFailed | TimedOut | OutputsLost | None


def run(runner: Runner, session: Session, prepared: Prepared, *, every_output: bool = False) -> Result:
    """Carry the action out. A failure of the executor is part of the result, because it can have outputs all the same.

    every_output: keep files that the package has no name for. Raises ImageError, RegistryError, HostError and others
    where the executor could not be run.
    """
    directory = workdirs.directory(workdirs.tmp_directory(runner.root), runner.host.ids)
    with runner.image(_source(runner, session, prepared)) as image, directory as work:
        with trace.span("inputs"):
            repository = inputs.write_repository(prepared, work, session, runner.console.info)
            input_volume = InputVolume(
                contract.INPUTS, inputs.contents(prepared), {contract.REPOSITORY: repository}
            )
        names = prepared.execution.entry.outputs
        directory_of_outputs = files.make_private(os.path.join(work, "outputs"))
        output_volume = OutputVolume(
            contract.OUTPUTS, directory_of_outputs, tuple(names), every_output, outputs.LIMIT
        )
        failure: OperationFailed | TimedOut | None = None
        try:
            runner.run(
                runner.request(image, _call(prepared, input_volume, output_volume)), _job(prepared, image)
            )
        except (OperationFailed, TimedOut) as error:
            failure = error
        with trace.span("collect"):
            collected = outputs.collect(directory_of_outputs, names)
    for name in collected.missing:
        runner.console.warn(f"the executor did not write {name}, which is mapped to an output")
    if collected.left_out:
        runner.console.warn(
            f"left out of the executor's outputs: {', '.join(collected.left_out)}; only plain files are kept; "
            "its author has to write files"
        )
    return Result(collected, _failure_of(runner.console, prepared, collected, failure))


def _failure_of(
    console: Console, prepared: Prepared, collected: Outputs, failure: OperationFailed | TimedOut | None
) -> OperationFailed | TimedOut | OutputsLost | None:
    """Return the failure of the executor, or where it did not fail, that of its outputs."""
    if failure is None and collected.lost:
        return OutputsLost(
            f"{prepared.version} {prepared.execution.action} was carried out, but of its outputs "
            f"{'; '.join(collected.lost)}: the author of the executor has to change that"
        )
    for each in collected.lost:
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
    """Return what the executor's image is pulled by: its reference, or a function that reads it from the component."""
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
    """Return the reference of an image that the package names directly, with its digest where the package has one.

    Raises BadReference for an image that is not in a registry, and for two different digests.
    """
    parsed = references.parse(image.ref)
    if parsed.transport != "docker":
        raise BadReference(
            f"the image {image.ref} of the executor is a local one: only registries are allowed"
        )
    if not image.digest:
        return parsed
    if parsed.digest not in (None, image.digest):
        raise BadReference(
            f"the image {image.ref} of the executor has another digest beside it: {image.digest}"
        )
    return replace(parsed, digest=references.check_digest(image.digest, f"{image.ref}@{image.digest}"))


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
