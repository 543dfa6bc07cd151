"""Verify a component version in its repository: its signature, the descriptors that it covers, and their contents."""

from collections.abc import Collection

from tweed_shim.ocm import resource_content, signatures
from tweed_shim.ocm.component_descriptor import ComponentDescriptor, Digest, Resource
from tweed_shim.ocm.keys import PublicKey
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.ocm.session import Session
from tweed_shim.ocm.signatures import Verification


def verify(
    session: Session, version: ComponentVersion, name: str, key: PublicKey, *, allowed: Collection[str] = ()
) -> Verification:
    """Verify the signature `name` of a component version, and everything that it covers.

    allowed: access types whose contents may stay unverified. The result lists what failed and what could not be
    compared. Raises HostError where the host lacks the package `cryptography`.
    """
    versions = {str(version): version}

    def lookup(component: str, component_version: str) -> ComponentDescriptor:
        match = session.find(component, component_version, [version.repository], path=(str(version),))
        versions[str(match)] = match
        return match.descriptor

    def content(descriptor: ComponentDescriptor, resource: Resource, digest: Digest) -> None:
        resource_content.check_content(
            versions[str(descriptor)], resource, digest, connection=session.connection
        )

    return signatures.verify(version.descriptor, name, key, lookup=lookup, content=content, allowed=allowed)
