"""Messages for a process that has reached one of its limits (getrlimit(2))."""

import resource


def memory() -> str:
    """Return the end of a sentence for a process without memory: what happened and what to do."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return "no memory is left on this host; free some, and run it again"
    return f"no memory is left of the {limit >> 10} KiB that are allowed; allow more ('ulimit -v')"


def open_files() -> str:
    """Return the same for a process without descriptors."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return f"no more than {limit} files can be open at a time; allow more of them ('ulimit -n')"


def has_memory_limit() -> bool:
    """Say whether the process has a limit of memory."""
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
