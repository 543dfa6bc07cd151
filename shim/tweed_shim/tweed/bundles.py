"""Bundles of operations for a look with the OCI tools: what is recorded is copied into them, and nothing is changed.

An image gets the state of its own clouds and instances only, as when it runs: an instance's by the digest that
provisioned it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.base import files
from tweed_shim.base.lean import json
from tweed_shim.base.records import replace
from tweed_shim.host import output_directory
from tweed_shim.image.store import Image
from tweed_shim.runner import Runner
from tweed_shim.runtime import bundle
from tweed_shim.tweed import clouds, instance_errors, instance_operations, instances, ownership
from tweed_shim.tweed.clouds import Cloud
from tweed_shim.tweed.contract import Operation
from tweed_shim.tweed.instance_operations import Target
from tweed_shim.tweed.operation_runner import OperationCall, OperationRunner


def check(runner: Runner, operation: Operation, path: str) -> None:
    """Check, before anything is pulled, that a bundle can be written to a path. Raises ConfigError."""
    network = "none" if operation.network == "none" else runner.options.network
    bundle.check(path, runner.security, network)


def write(runner: Runner, operations: OperationRunner, call: OperationCall, path: str) -> list[str]:
    """Write the bundle of a call, and return the command that starts it. Raises ConfigError and HostError."""
    request = operations.request(call)
    with output_directory.filled(path, runner.host.ids) as directory:
        options = bundle.write(directory, request, runner.host)
        return [runner.runtime, *options, "run", "--bundle", directory, f"tweed-{call.operation.name}"]


@contextmanager
def configuration(cloud: Cloud, row: Operation, interaction: str, image: Image) -> Iterator[str]:
    """Yield the directory that an operation of a backend reads, and keep it from removal within the block.

    "" where the operation reads nothing, or nothing is recorded: then there is a warning. Raises StateError where the
    state belongs to another image.
    """
    slot = cloud.slot(row.reads, interaction) if row.reads else ""
    is_setup = row.reads == "interaction"
    generation = None
    if is_setup:
        generation = clouds.set_up(slot) or clouds.interrupted(slot)
    elif slot:
        generation = clouds.current(slot)
    if generation is None:
        if slot:
            what = f"interaction '{interaction}' is not set up in" if is_setup else "nothing is configured in"
            cloud.warn(f"{what} cloud '{cloud.name}', so the directory of $IN_CONFIG is empty")
        yield ""
        return
    if is_setup:
        ownership.check_interaction(generation.record, image, interaction=interaction, cloud=cloud.name)
    else:
        ownership.check_cloud(cloud.name, generation.record, image)
    with files.held_directory(generation.directory):
        yield generation.data


@contextmanager
def instance_call(row: Operation, target: Target) -> Iterator[OperationCall]:
    """Yield the call of an operation of a pattern with what is recorded of its instance, locked within the block.

    `provision` begins without anything. Where there is no instance, the others do, too, with a warning. Raises
    StateError where the instance belongs to another image.
    """
    instance = target.instance
    record = None if row.outputs else instances.read(instance)
    if record is None:
        if row.credstore and not row.outputs:
            instance.warn(f"there is no instance '{instance.name}', so the directory of $CREDSTORE is empty")
        yield _with_directories(instance_operations.call(row.name, target), "", "")
        return
    if record["digest"] != target.image.digest:
        raise instance_errors.other_image(instance.name, record, target.image, row.name)
    with instances.locked(instance, shared=True):
        call = instance_operations.call(row.name, target, _documents(row, target))
        yield _with_directories(call, instance.credstore, instance.outputs)


def _documents(row: Operation, target: Target) -> dict[str, bytes]:
    """Return the content of $INPUTS or $BINDING of an instance that is recorded."""
    if row.inputs:
        return {"INPUTS": instances.inputs(target.instance)}
    if not row.binding:
        return {}
    binding = instances.read_binding(target.instance, target.binding)
    if binding is None:
        target.instance.warn(
            f"instance '{target.instance.name}' has no binding '{target.binding}', so the file of $BINDING has "
            "no credentials"
        )
    return {"BINDING": json.dumps((binding or {}).get("credentials", {})).encode() + b"\n"}


def _with_directories(call: OperationCall, credstore: str, outputs: str) -> OperationCall:
    paths = {"CREDSTORE": credstore, "OUTPUTS": outputs}
    return replace(
        call, directories={name: path if os.path.isdir(path) else "" for name, path in paths.items()}
    )
