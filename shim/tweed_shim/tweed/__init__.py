"""The Tweed backend contract: its operations as a table, the documents images write, and the state of clouds."""
