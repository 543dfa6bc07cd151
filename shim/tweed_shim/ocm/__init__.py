"""Component versions of the Open Component Model: read, resolved and transported."""
