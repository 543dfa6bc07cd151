"""Documents from strangers: YAML and JSON within limits, and JSON Schema."""
