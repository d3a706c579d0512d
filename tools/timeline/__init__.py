"""A picture of an environment's life, drawn from the extension's own log."""
