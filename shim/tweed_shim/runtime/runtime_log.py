"""The log that an OCI runtime writes with `--log-format json`: one JSON object a line, with `level` and `msg`."""

from tweed_shim.base.lean import json

# runc logs these errors after the one that matters: when a start has failed, its clean-up of the control group fails.
CLEANING_UP = ("Failed to remove", "failed to remove")


def last_error(path: str) -> str:
    """Return the last error in a log, but for those of the runtime's clean-up; an empty text where there is none."""
    message = ""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                entry = json.loads(line)
                is_error = entry.get("level") in ("error", "fatal")
                if is_error and not entry.get("msg", "").startswith(CLEANING_UP):
                    message = entry["msg"]
    except (OSError, ValueError, AttributeError, KeyError):
        pass
    return str(message)
