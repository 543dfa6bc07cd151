"""The checks of namespaces and of the user and group ids in them."""

import os

from tweed_shim.base import privileges
from tweed_shim.base.records import replace
from tweed_shim.doctor import probes
from tweed_shim.doctor.findings import (
    MISSING,
    OK,
    WARNING,
    CheckContext,
    Finding,
    lacking_for,
    not_tried,
)
from tweed_shim.errors import ConfigError, ShimError
from tweed_shim.host import faults, programs, userns
from tweed_shim.host.userns import IdRange
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.security_options import USERNS, userns_by_default

# As useradd(8) grants them by default.
SUBORDINATE = ("/etc/subuid", "/etc/subgid")
FIRST_SUBORDINATE, ENOUGH_IDS, LARGEST_ID = 100_000, 65_536, (1 << 32) - 2


def namespaces_fault(host: Host) -> str:
    """Return the fault that keeps the host from creating namespaces, or an empty text."""
    if host.ids.kind == "host":
        return probes.namespaces(host.ids)
    # The caller's own id needs no grant in /etc/subuid; the grants are for the check of ids.
    own = {
        name: (IdRange(0, number, 1),) for name, number in (("uids", os.geteuid()), ("gids", os.getegid()))
    }
    return probes.namespaces(replace(host.ids, kind="single", **own))


def namespaces(context: CheckContext) -> Finding:
    """Check that the namespaces of a run can be created."""
    name = "namespaces"
    if not context.namespaces:
        return Finding(name, OK, "can be created")
    mend = faults.namespace_remedy(host_root=context.is_root)
    return Finding(name, MISSING, context.namespaces, "no image can be run", mend)


def ids(context: CheckContext) -> Finding:
    """Check which ids a container can have."""
    name, ids = "ids", context.host.ids
    if context.is_root:
        return Finding(name, OK, "all of the host's, as root")
    if ids.kind == "single" and os.geteuid() == 0:
        effect = "every image runs as its root, and its files all belong to that"
        mend = "make the namespace with more ids (unshare -r --map-auto), or run it as the user outside of it"
        return Finding(name, WARNING, "this root can have its own id alone", effect, mend)
    if ids.kind == "single":
        lacking = [helper for helper in userns.HELPERS if programs.find_program(helper) is None]
        account, free = userns.account_name(), _free_ids()
        mend = (
            "apt install uidmap"
            if lacking
            else f"usermod --add-subuids {free} --add-subgids {free} {account}"
        )
        found = f"{' and '.join(lacking)} not found" if lacking else "no range in /etc/subuid and /etc/subgid"
        effect = "every image runs as its root, which is you, and its files all belong to you"
        return Finding(name, WARNING, found, effect, mend)
    if context.namespaces:
        return not_tried(name, "namespaces")
    if fault := probes.mapped(ids):
        return Finding(name, MISSING, fault, "no image can be run", _ids_mend())
    where = "/etc/subuid and /etc/subgid" if ids.kind == "range" else "this user namespace, as its root"
    return Finding(name, OK, f"{sum(each.length for each in ids.uids)} in {where}")


def _free_ids(*files: str) -> str:
    """Return the first range of ids that no user has: users with the same ids could read each other's files.

    Returns the words FIRST-LAST where no range is left.
    """
    taken = [(first, count) for path in files or SUBORDINATE for _, first, count in userns.grants(path)]
    free = FIRST_SUBORDINATE
    for first, count in sorted(taken):
        if first < free + ENOUGH_IDS:
            free = max(free, first + count)
    return f"{free}-{free + ENOUGH_IDS - 1}" if free + ENOUGH_IDS <= LARGEST_ID else "FIRST-LAST"


def _ids_mend() -> str:
    if os.geteuid() == 0 or privileges.own().no_new:
        return faults.ids_remedy()
    for helper in userns.HELPERS:
        path = programs.find_program(helper) or helper
        if not os.stat(path).st_mode & 0o4000 and "security.capability" not in os.listxattr(path):
            return "apt install --reinstall uidmap"
    return faults.ids_remedy()


def userns_option(context: CheckContext) -> Finding:
    """Check that root's containers can have a user namespace."""
    name, effect = "--userns", "--userns will not work"
    if not context.is_root:
        return Finding(name, OK, "every run has a user namespace, as this user is not the host's root")
    try:
        ids = userns.granted_to_root()
    except ShimError:
        mend = "echo containers:2147483647:2147483648 | tee -a /etc/subuid /etc/subgid"
        return Finding(name, WARNING, "no ids for it in /etc/subuid and /etc/subgid", effect, mend)
    if lacking := lacking_for(context):
        return not_tried(name, lacking)
    runtime = programs.find_program(context.runtime) or ""
    fault, _ = probes.run(context.directory, runtime, context.host, userns=True)
    if fault:
        mend = "use Linux 5.19 or newer, and give a --root on ext4, xfs or btrfs"
        return Finding(name, WARNING, fault, effect, mend)
    found = f"{sum(each.length for each in ids.uids)} ids, and a container ran with them"
    return _userns_default(name, found)


def _userns_default(name: str, found: str) -> Finding:
    """Advise a host that can run root's containers in user namespaces to do so by default."""
    try:
        if userns_by_default(os.environ):
            return Finding(name, OK, f"{found}; ${USERNS} makes it the default")
    except ConfigError as error:
        return Finding(name, MISSING, str(error), "no image can be run", f"export {USERNS}=1")
    # Nothing fails without it, so this is advice and not a warning.
    advice = f"{USERNS}=1 makes it the default, and keeps users of this host out of root's containers"
    return Finding(name, OK, f"{found}; {advice}")
