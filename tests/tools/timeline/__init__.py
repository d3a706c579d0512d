"""The picture of an environment's life."""
