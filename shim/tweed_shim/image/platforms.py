"""Platforms of images: parsing, the host's own, and which of an index fits best (image-spec image-index.md)."""

import os
from collections.abc import Iterable

from tweed_shim.base.records import Record
from tweed_shim.base.text import DIGITS, LOWER, made_of
from tweed_shim.errors import ConfigError

# What uname(2) and people call an architecture, and what images call it: (architecture, variant).
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
# The variant that is meant where an image or a person names none.
PLAIN_LEVEL = {"amd64": 1, "arm64": 8, "arm": 7}


class Platform(Record):
    """What an image was built for, in the words of the image specification."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        """As `--platform` takes it."""
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


def parse(text: str) -> Platform:
    """Return the platform that `--platform os/arch[/variant]` names. Raises ConfigError."""
    system, _, rest = text.lower().partition("/")
    architecture, slash, variant = rest.partition("/")
    if not (
        made_of(LOWER + DIGITS, system)
        and made_of(LOWER + DIGITS + "_-", architecture)
        and (made_of(LOWER + DIGITS + ".", variant) or not slash)
    ):
        raise ConfigError(
            f"platform {text!r} is not one; write os/architecture[/variant], for example linux/arm64"
        )
    if system != "linux":
        raise ConfigError(f"platform {text!r} cannot be run here; only linux images can")
    architecture, usual = ARCHITECTURES.get(architecture, (architecture, ""))
    return Platform(system, architecture, variant or usual)


def of_image(system: str, architecture: str, variant: str) -> Platform:
    """The platform that an image names, in the words of the specification; some tools write those of uname(2)."""
    known, usual = ARCHITECTURES.get(architecture.lower(), (architecture, ""))
    return Platform(system.lower(), known, variant or usual)


def host() -> Platform:
    """Return the platform of this host."""
    machine = os.uname().machine
    architecture, variant = ARCHITECTURES.get(machine, (machine, ""))
    return Platform("linux", architecture, variant)


def key(text: str | None) -> str:
    """What tells apart images of one reference: empty for the host's platform, else the platform's text."""
    if text is None:
        return ""
    platform = parse(text)
    return "" if fit(host(), platform) == 0 else str(platform)


def _level(platform: Platform) -> int | None:
    if not platform.variant:
        return PLAIN_LEVEL.get(platform.architecture, 0)
    number = platform.variant.removeprefix("v")
    return (
        int(number) if made_of(DIGITS, number) and number != platform.variant and len(number) <= 3 else None
    )


def fit(wanted: Platform, offered: Platform) -> int | None:
    """How far an offer is from what is wanted, 0 being exactly it; None where it does not run there.

    Variants are levels: what was built for a lower one runs on a higher one.
    """
    if (wanted.os, wanted.architecture) != (offered.os, offered.architecture):
        return None
    have, need = _level(wanted), _level(offered)
    if have is None or need is None:
        return 0 if wanted.variant == offered.variant else None
    return have - need if have >= need else None


def best(wanted: Platform, offers: Iterable[Platform]) -> Platform | None:
    """Return the offer that fits best; the first of equals; None where none fits."""
    fitting = [(distance, offer) for offer in offers if (distance := fit(wanted, offer)) is not None]
    return min(fitting, key=lambda pair: pair[0])[1] if fitting else None
