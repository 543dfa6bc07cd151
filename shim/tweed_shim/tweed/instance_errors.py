"""The errors about the state of instances and bindings: one function each, with its whole sentence.

Only a refusal imports this module. `record` describes the image that provisioned the instance.
"""

from collections.abc import Mapping

from tweed_shim.base.lean.typing import Any
from tweed_shim.base.option_names import option
from tweed_shim.errors import NotRecorded, StateError
from tweed_shim.image.store import Image
from tweed_shim.tweed import command_lines, ownership


def unknown(instance: str) -> StateError:
    """Return the error for an instance that does not exist."""
    return StateError(f"there is no instance '{instance}'; 'tweed-shim instances' lists those there are")


def exists(instance: str, record: Mapping[str, Any], runs: str) -> StateError:
    """Return the error for the provision of an instance that exists. runs: those that use it now, as text."""
    if runs:
        return StateError(
            f"instance '{instance}' exists already and is in use by {runs}; use another {option('--instance')}"
        )
    failed = "" if record["state"] == "ready" else " and is failed"
    return StateError(
        f"instance '{instance}' exists already{failed}, provisioned by {record['image']}; use another "
        f"{option('--instance')}, or remove it first with: {command_lines.deprovision(record['image'], instance)}"
    )


def cloud_not_configured(cloud: str) -> StateError:
    """Return the error for the provision of an instance in a cloud without a configuration."""
    return StateError(
        f"cloud '{cloud}' is not configured; configure it with the image of its backend first: tweed-shim exec BACKEND "
        f"configure --cloud {cloud} --config FILE, or give {option('--no-backend')} if the pattern needs none"
    )


def cloud_lost(instance: str, cloud: str, backend: str) -> StateError:
    """Return the error for an instance whose cloud is not configured any more. backend: the image that gave access."""
    return StateError(
        f"cloud '{cloud}' of instance '{instance}' is not configured any more; configure it again: tweed-shim exec "
        f"{backend} configure --cloud {cloud} --config FILE, or give the instance up with: tweed-shim instances forget "
        f"{instance}"
    )


def other_backend(instance: str, cloud: str, earlier: str, backend: str) -> StateError:
    """Return the error for an instance whose cloud another backend has taken over. earlier: the one before."""
    return StateError(
        f"instance '{instance}' was provisioned with access by {earlier}, and cloud '{cloud}' belongs to {backend} "
        f"now; configure it with {earlier} again, or give {option('--replace')} if both lead to the same system"
    )


def not_ready(instance: str, record: Mapping[str, Any], operation: str) -> StateError:
    """Return the error for an operation on an instance whose provision or deprovision has not succeeded."""
    return StateError(
        f"{operation} is not possible: the last {_last_operation(record)} of instance '{instance}' has failed or was "
        f"interrupted; only deprovision may follow: {command_lines.deprovision(record['image'], instance)}"
    )


def _last_operation(record: Mapping[str, Any]) -> str:
    return "deprovision" if record["state"] == "deprovisioning" else "provision"


def other_image(instance: str, record: Mapping[str, Any], image: Image, operation: str) -> StateError:
    """Return the error for an image that is not the one that provisioned an instance."""
    if ownership.is_named_like(record, image.reference):
        return StateError(
            f"instance '{instance}' was provisioned by {record['image']} with the digest {record['digest']}, and "
            f"{image.reference} has {image.digest}: another version; {operation} with {option('--replace')} if that "
            "version is to take the instance over"
        )
    return StateError(
        f"instance '{instance}' was provisioned by {record['image']}, not by {image.reference}; {operation} with "
        f"{record['image']}"
    )


def unknown_binding(instance: str, binding: str) -> StateError:
    """Return the error for a binding that does not exist."""
    return StateError(
        f"instance '{instance}' has no binding '{binding}'; 'tweed-shim instances show {instance}' lists those it has"
    )


def bound(instance: str, binding: str, image: str, *, is_ready: bool) -> StateError:
    """Return the error for a bind of a binding that exists. is_ready: whether its bind has succeeded."""
    if is_ready:
        return StateError(
            f"instance '{instance}' has a binding '{binding}' already; print it with 'tweed-shim instances credentials "
            f"{instance} {binding}', or use another {option('--binding')}"
        )
    return StateError(
        f"instance '{instance}' has a binding '{binding}' already, whose bind has failed or was interrupted; unbind it "
        f"first: {command_lines.unbind(image, instance, binding)}"
    )


def no_credentials(instance: str, binding: str, image: str) -> StateError:
    """Return the error for the credentials of a binding whose bind has failed."""
    return StateError(
        f"binding '{binding}' of instance '{instance}' has no credentials: its bind has failed or was interrupted; "
        f"unbind it and bind again: {command_lines.unbind(image, instance, binding)}"
    )


def not_recorded(what: str, *, remedy: str, error: OSError) -> NotRecorded:
    """Return the error for an operation whose image has succeeded and whose record cannot be written."""
    return NotRecorded(
        f"{what} has succeeded, and that could not be recorded ({error.strerror}), so it counts as failed; {remedy}"
    )


def reserved_variables(image: str, names: list[str]) -> str:
    """Return the sentence about variables of a backend's setup that are the pattern contract's own."""
    return (
        f"setup of {image} sets {', '.join(names)}, which the pattern contract sets itself; have the backend's image "
        "use other names"
    )


def steering_variables(image: str, refused: Mapping[str, str]) -> str:
    """Return the sentence about variables of a backend's setup that decide which code the pattern runs."""
    named = ", ".join(f"{name} (steers {steers})" for name, steers in list(refused.items())[:5])
    more = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
    return (
        f"setup of {image} sets {named}{more}, so that the backend could run code of its own as the pattern; have "
        f"its image use other names, or give {option('--allow', next(iter(refused)))} if that is meant"
    )
