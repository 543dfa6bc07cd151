"""Read the credentials file of a user.

Source: `ocm bootstrap package` and `ocm toi-bootstrapping`, "Credentials". No message quotes a value of the file.
"""

import math
from collections.abc import Mapping
from typing import Any

from tweed_shim.base.option_names import option
from tweed_shim.base.records import EMPTY, Record
from tweed_shim.data import documents
from tweed_shim.errors import ConfigError
from tweed_shim.ocm.component_descriptor import Identity
from tweed_shim.ocm.credential_lookup import Properties
from tweed_shim.ocm.ocmconfig import Entry
from tweed_shim.spiff import SpiffError
from tweed_shim.spiff.merging import Document
from tweed_shim.spiff.tree import reading
from tweed_shim.spiff.tree.values import float_text
from tweed_shim.toi.specification import Field, Specification
from tweed_shim.toi.templates import Templates


class CredentialSource(Record):
    """Where requested credentials come from: exactly one of consumer_id, reference and properties is set.

    consumer_type: the type whose matching rules find what is configured for the consumer. target: a further consumer
    that gets the credentials.
    """

    HIDDEN = ("reference",)

    consumer_id: Identity = EMPTY
    consumer_type: str = ""
    reference: Entry | None = None
    properties: Properties | None = None
    target: Identity = EMPTY


class ForwardedConsumer(Record):
    """A consumer whose configured credentials the executor gets too."""

    consumer_id: Identity
    consumer_type: str = ""


class CredentialsFile(Record):
    """The content of a credentials file. unknown: the names of fields that have no meaning."""

    credentials: Mapping[str, CredentialSource] = EMPTY
    forwarded: tuple[ForwardedConsumer, ...] = ()
    unknown: tuple[str, ...] = ()


def read(text: str, *, name: str, templates: Templates) -> CredentialsFile:
    """Read a credentials file, which is a spiff template without stubs.

    Raises ConfigError, which quotes no value of it, and TimedOut where the template takes too long.
    """
    specification = Specification(_evaluate(text, name, templates), name, ConfigError, origin=text)
    fields = specification.root.fields("credentials", "forwardedConsumers")
    entries = fields["credentials"].entries(empty=True) if "credentials" in fields else {}
    forwarded = fields["forwardedConsumers"].items() if "forwardedConsumers" in fields else ()
    # Everything is read before `finish`, which raises the faults of all of it.
    sources = {key: _source(each) for key, each in entries.items()}
    consumers = tuple(_forwarded_consumer(each) for each in forwarded)
    return CredentialsFile(sources, consumers, specification.finish("credentials file"))


def _evaluate(text: str, name: str, templates: Templates) -> bytes:
    """Evaluate the template, and return the result as JSON."""
    from tweed_shim import spiff
    from tweed_shim.spiff.recursion import deep

    try:
        results = [value for value, is_lasting in templates.merge(Document(text, name)) if is_lasting]
        if len(results) > 1:
            raise ConfigError(f"{name} holds {len(results)} documents: leave one")
        value = results[0] if results else None
        with deep(name):
            return spiff.dump({} if value is None else _finite(value), "json").encode()
    except SpiffError as error:
        raise ConfigError(_unresolved(error, name) if error.nodes else _unreadable(text, name)) from None


def _finite(value: Any) -> Any:
    """Replace infinity and NaN, which JSON lacks, by the text that the reference makes of them."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return float_text(value) if isinstance(value, float) and not math.isfinite(value) else value


def _unresolved(error: SpiffError, name: str) -> str:
    """Return a message that names the unresolved expressions."""
    from tweed_shim.spiff.functions import permission

    # The other reasons are left out, because they may quote values. This one does not.
    denied = [each for each in error.nodes if permission.DENIED in each.reason]
    nodes = ", ".join(dict.fromkeys(".".join(each.path) for each in denied or error.nodes))
    if denied:
        return (
            f"{name} has expressions that use files, commands or the environment, at {nodes}: write the values "
            f"themselves, or allow such expressions with {option('--trust-templates')}"
        )
    return f"{name} has expressions that cannot be resolved, at {nodes}: correct them"


def _unreadable(text: str, name: str) -> str:
    """Return why a text cannot be evaluated; of spiff's own messages, only those that quote no value are used."""
    try:
        documents.load(text, name=name, error=ConfigError)
        reading.read(text, name)
    except ConfigError as fault:
        return str(fault)
    except reading.ReadFault as fault:
        return f"{name}, {fault}"
    return f"{name} cannot be processed: it is too large, or nested too deep; shorten it"


def _source(field: Field) -> CredentialSource:
    fields = field.fields("consumerId", "consumerType", "reference", "credentials", "targetConsumerId")
    kinds = [
        name for name in ("consumerId", "reference", "credentials") if name in fields and fields[name].value
    ]
    if len(kinds) != 1:
        field.fault("must have exactly one of consumerId, reference and credentials")
    reference = fields["reference"].entries() if "reference" in fields else None
    return CredentialSource(
        fields["consumerId"].text_map(empty=True) if "consumerId" in fields else {},
        fields["consumerType"].text() if "consumerType" in fields else "",
        reference and {key: each.value for key, each in reference.items()},
        Properties(fields["credentials"].text_map(empty=True)) if "credentials" in kinds else None,
        fields["targetConsumerId"].text_map(empty=True) if "targetConsumerId" in fields else {},
    )


def _forwarded_consumer(field: Field) -> ForwardedConsumer:
    fields = field.fields("consumerId", "consumerType")
    if "consumerId" not in fields or not fields["consumerId"].value:
        field.fault("is required", "consumerId")
        return ForwardedConsumer({})
    return ForwardedConsumer(
        fields["consumerId"].text_map(empty=True),
        fields["consumerType"].text() if "consumerType" in fields else "",
    )
