"""tweed-shim: run Tweed backend images with runc, without a daemon, as root or rootless.

from tweed_shim import Shim

shim = Shim()
redis = shim.backend("registry.example/redis-backend:1", cloud="prod")
redis.configure({"host": "10.0.0.5"})
with redis.setup() as environment:
    ...
"""

# A type checker takes it for true; typing's own would be imported before the program has seen to its signals.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from tweed_shim._version import VERSION as __version__  # noqa: N811 - the name that programs look for
    from tweed_shim.shim import Shim as Shim

__all__ = ["Shim", "__version__"]


def __getattr__(name: str) -> object:
    """Import what the package exports when it is first used: every `exec` imports this file and needs none of it."""
    if name == "Shim":
        from tweed_shim.shim import Shim

        return Shim
    if name == "__version__":
        from tweed_shim._version import VERSION

        return VERSION
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
