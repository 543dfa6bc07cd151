"""The errors about the state of clouds and interactions: one function each, with its whole sentence.

Only a refusal imports this module. `record` describes the image that configured the cloud or set the interaction up.
"""

import os
from collections.abc import Mapping

from tweed_shim.base.lean.typing import Any
from tweed_shim.base.option_names import option
from tweed_shim.errors import NotRecorded, StateError


def not_configured(cloud: str, reference: str) -> StateError:
    """Return the error for a cloud without a configuration. reference: the image that was to use it."""
    return StateError(
        f"cloud '{cloud}' is not configured; configure it first: "
        f"tweed-shim exec {reference} configure --cloud {cloud} --config FILE"
    )


def not_set_up(directory: str, interaction: str) -> StateError:
    """Return the error for an interaction that is not set up. directory: that of its cloud."""
    cloud = os.path.basename(directory)
    if not os.path.isdir(directory):
        return StateError(
            f"interaction '{interaction}' of cloud '{cloud}' is not set up: there is no cloud '{cloud}'; "
            "'tweed-shim clouds' lists those there are"
        )
    return StateError(
        f"interaction '{interaction}' of cloud '{cloud}' is not set up; 'tweed-shim clouds' lists those that are"
    )


def already_set_up(cloud: str, interaction: str, record: Mapping[str, Any]) -> StateError:
    """Return the error for the setup of an interaction that is set up."""
    return StateError(
        f"interaction '{interaction}' of cloud '{cloud}' is already set up by {record.get('image')}; tear it down "
        f"with that image first, or set it up again with {option('--replace')}"
    )


def no_environment(cloud: str, interaction: str, record: Mapping[str, Any]) -> StateError:
    """Return the error for an interaction whose environment could not be recorded."""
    return StateError(
        f"the environment of interaction '{interaction}' of cloud '{cloud}' is not on record; tear the "
        f"interaction down with {record.get('image')} and set it up again"
    )


def not_recorded(cloud: str, interaction: str, *, image: str, data: str, error: OSError) -> NotRecorded:
    """Return the error for a setup whose image has succeeded and whose record cannot be written.

    data: the directory that teardown would need.
    """
    return NotRecorded(
        f"setup of {image} has succeeded, and interaction '{interaction}' of cloud '{cloud}' could not be recorded "
        f"({error.strerror}): what teardown would need is in {data}, so copy that, mend the disk, and undo by hand "
        "what the image made in the backend"
    )
