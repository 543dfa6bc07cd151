"""The registries, for the tests of this folder."""

from servers import registry, registry_with_password, registry_with_tls, registry_with_token

__all__ = ["registry", "registry_with_password", "registry_with_tls", "registry_with_token"]
