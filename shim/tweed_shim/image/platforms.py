"""Platforms of images: parsing, that of the host, and the best match in an index (image-spec image-index.md)."""

import os
from collections.abc import Iterable

from tweed_shim.base.records import Record
from tweed_shim.base.text import DIGITS, LOWER, made_of
from tweed_shim.errors import ConfigError

# The names of architectures in uname(2) and elsewhere, with those of images: (architecture, variant).
ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armhf": ("arm", "v7"),
    "armv8l": ("arm", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "loongarch64": ("loong64", ""),
}
# The level of an architecture without a variant.
DEFAULT_LEVEL = {"amd64": 1, "arm64": 8, "arm": 7}


class Platform(Record):
    """The platform of an image, in the words of the image specification."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        """The text for `--platform`."""
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


def parse(text: str) -> Platform:
    """Parse `os/architecture[/variant]`, the value of `--platform`. Raises ConfigError."""
    system, _, rest = text.lower().partition("/")
    architecture, slash, variant = rest.partition("/")
    if not (
        made_of(LOWER + DIGITS, system)
        and made_of(LOWER + DIGITS + "_-", architecture)
        and (made_of(LOWER + DIGITS + ".", variant) or not slash)
    ):
        raise ConfigError(
            f"platform {text!r} is malformed; write os/architecture[/variant], for example linux/arm64"
        )
    if system != "linux":
        raise ConfigError(f"platform {text!r} cannot be run here; choose a linux image")
    architecture, usual = ARCHITECTURES.get(architecture, (architecture, ""))
    return Platform(system, architecture, variant or usual)


def of_image(system: str, architecture: str, variant: str) -> Platform:
    """Return the platform of an image. Some tools write the names of uname(2), which are translated."""
    known, usual = ARCHITECTURES.get(architecture.lower(), (architecture, ""))
    return Platform(system.lower(), known, variant or usual)


def host() -> Platform:
    """Return the platform of this host."""
    machine = os.uname().machine
    architecture, variant = ARCHITECTURES.get(machine, (machine, ""))
    return Platform("linux", architecture, variant)


def key(text: str | None) -> str:
    """Return what distinguishes images of one reference: empty for the host's platform, else the platform's text."""
    if text is None:
        return ""
    platform = parse(text)
    return "" if fit(host(), platform) == 0 else str(platform)


def _level(platform: Platform) -> int | None:
    if not platform.variant:
        return DEFAULT_LEVEL.get(platform.architecture, 0)
    number = platform.variant.removeprefix("v")
    return (
        int(number) if made_of(DIGITS, number) and number != platform.variant and len(number) <= 3 else None
    )


def fit(wanted: Platform, offered: Platform) -> int | None:
    """Return the distance of an image's platform from the wanted one: 0 for the same, None where it does not run there.

    Variants are levels: an image for a lower level runs on a higher one.
    """
    if (wanted.os, wanted.architecture) != (offered.os, offered.architecture):
        return None
    have, need = _level(wanted), _level(offered)
    if have is None or need is None:
        return 0 if wanted.variant == offered.variant else None
    return have - need if have >= need else None


def best(wanted: Platform, offered: Iterable[Platform]) -> Platform | None:
    """Return the platform nearest to the wanted one, the first of equals; None where none runs there."""
    matches = [(distance, offer) for offer in offered if (distance := fit(wanted, offer)) is not None]
    return min(matches, key=lambda pair: pair[0])[1] if matches else None
