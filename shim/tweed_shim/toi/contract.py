"""The contract between TOI and executor images: where an executor finds what it is given, and leaves what it makes.

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
"""How long an executor may take by default, in seconds."""
