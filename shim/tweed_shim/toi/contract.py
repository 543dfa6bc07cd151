"""The contract between TOI and executor images: the paths of inputs and outputs in the container.

Source: `ocm toi-bootstrapping`, "Executor Image Contract". The image's entrypoint is called with two more arguments,
the action and the component version (`NAME:VERSION`), in place of the image's Cmd.
"""

INPUTS = "/toi/inputs"
OUTPUTS = "/toi/outputs"

CONFIG = "config"
REPOSITORY = "ocmrepo"
PARAMETERS = "parameters"
OCM_CONFIG = "ocmconfig"

TIMEOUT = 3600.0
"""The default limit on the time of an executor, in seconds."""
