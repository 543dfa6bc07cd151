"""What the shim asks of the machine: user namespaces, child processes and working directories.

Nothing here knows what runs in them: no image, no container, no contract.
"""
