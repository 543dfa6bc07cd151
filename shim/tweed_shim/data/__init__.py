"""YAML, JSON and JSON Schema from strangers, read and checked within limits.

`documents` reads; `document_builder` holds the limits; `document_paths` names values in messages; `document_writer`
writes what every reader reads the same. `jsonschema` checks values against schemas; `schema_worker` does so in a
process with limits on time and memory. No contract's rules belong in here: this room knows nothing of images,
components or backends.
"""
