"""Verify a component version where it is kept: its signature, the descriptors that it covers, and their contents."""

from collections.abc import Collection

from tweed_shim.ocm import resources, signatures
from tweed_shim.ocm.descriptor import Descriptor, Digest, Resource
from tweed_shim.ocm.keys import PublicKey
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.ocm.session import Session
from tweed_shim.ocm.signatures import Verification


def verify(
    session: Session, version: ComponentVersion, name: str, key: PublicKey, *, allowed: Collection[str] = ()
) -> Verification:
    """Verify the signature `name` of a component version, and what it covers.

    allowed: types of access whose contents may stay unverified. The result says what failed and what could not be
    compared. Raises HostError where the host lacks what that takes.
    """
    versions = {str(version): version}

    def lookup(component: str, wanted: str) -> Descriptor:
        match = session.find(component, wanted, [version.repository], (str(version),))
        versions[str(match)] = match
        return match.descriptor

    def content(descriptor: Descriptor, resource: Resource, digest: Digest) -> None:
        resources.check(versions[str(descriptor)], resource, digest, session.connection)

    return signatures.verify(version.descriptor, name, key, lookup=lookup, content=content, allowed=allowed)
