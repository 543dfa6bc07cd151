"""From a Request to an Outcome: one run of one image by the OCI runtime, and nothing of it left behind."""
