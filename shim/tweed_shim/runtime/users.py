"""Resolve the `User` of an image's configuration to ids (OCI image specification, `config.User`).

Names are looked up in the image's own /etc/passwd and /etc/group (passwd(5), group(5)). A stranger wrote them: at most
the first MiB of a regular file inside of the image is read, and a malformed line is skipped.
"""

from collections.abc import Iterator

from tweed_shim.base.records import Record
from tweed_shim.errors import ImageError
from tweed_shim.runtime import rootfs_path

_MOST = 1 << 20
# The id (uid_t) -1 means "leave it as it is" to the kernel.
_LARGEST = 2**32 - 2


class User(Record):
    """The ids and the home directory of a process. groups: all of its groups, its own `gid` first."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


class _Account(Record):
    name: str
    uid: int
    gid: int
    home: str


class _Group(Record):
    name: str
    gid: int
    members: tuple[str, ...]


def resolve(rootfs: str, user: str) -> User:
    """Return the user that `user` means in the image at `rootfs`: `name`, `uid`, either with `:group` or `:gid`, or "".

    An empty text means user 0. Without a group, the group and the supplementary groups are those of the account; with
    one, there are no others. A number needs no account: without an account its group is 0 and its home is `/`. Raises
    ImageError for a name that the image does not have, and for a number that is no id.
    """
    name, _, group = user.partition(":")
    account = _account(rootfs, name or "0")
    groups = list(_groups(rootfs))
    if group:
        gid = _gid(groups, group)
        return User(account.uid, gid, (gid,), account.home)
    others = (each.gid for each in groups if account.name and account.name in each.members)
    # The process's own group is among the supplementary ones, too. Otherwise a program with the set-group-id bit would
    # drop it, and with it the denials that files have for the group.
    return User(account.uid, account.gid, tuple(dict.fromkeys((account.gid, *others))), account.home)


def _account(rootfs: str, wanted: str) -> _Account:
    number = _number(wanted)
    for account in _accounts(rootfs):
        if account.name == wanted or account.uid == number:
            return account
    if number is None:
        raise ImageError(
            f"the image's user {wanted!r} is not in its /etc/passwd; its author has to add it or name a number"
        )
    return _Account("", _checked(number, wanted), 0, "/")


def _gid(groups: list[_Group], wanted: str) -> int:
    number = _number(wanted)
    for group in groups:
        if group.name == wanted or group.gid == number:
            return group.gid
    if number is None:
        raise ImageError(
            f"the image's group {wanted!r} is not in its /etc/group; its author has to add it or name a number"
        )
    return _checked(number, wanted)


def _checked(number: int, wanted: str) -> int:
    if number > _LARGEST:
        raise ImageError(f"the image's user or group {wanted[:20]} is larger than any id ({_LARGEST})")
    return number


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    # Twelve digits are enough to be too large, and Python refuses to convert thousands of them.
    return int(text.lstrip("0")[:12] or "0")


def _id(text: str) -> int | None:
    number = _number(text)
    return number if number is not None and number <= _LARGEST else None


def _accounts(rootfs: str) -> Iterator[_Account]:
    for name, _, uid, gid, *rest in _lines(rootfs, "/etc/passwd", 4):
        own, group = _id(uid), _id(gid)
        if own is not None and group is not None:
            home = rest[1] if len(rest) > 1 else ""
            yield _Account(name, own, group, home or "/")


def _groups(rootfs: str) -> Iterator[_Group]:
    for name, _, gid, *rest in _lines(rootfs, "/etc/group", 3):
        number = _id(gid)
        if number is not None:
            yield _Group(name, number, tuple(rest[0].split(",")) if rest else ())


def _lines(rootfs: str, path: str, fewest: int) -> Iterator[list[str]]:
    """Yield the fields of each line that has a name and at least `fewest` fields."""
    try:
        data = rootfs_path.read(rootfs, path, _MOST) or b""
    except PermissionError:
        raise ImageError(
            f"the image's {path} may not be read by you, so its User cannot be looked up; run it as root"
        ) from None
    whole = data if len(data) < _MOST else data[: data.rfind(b"\n") + 1]
    for line in whole.decode("utf-8", "surrogateescape").split("\n"):
        fields = line.split(":")
        if len(fields) >= fewest and fields[0]:
            yield fields
