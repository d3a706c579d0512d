"""A user's own function with the layer, on the sandbox: what will arrive, before anything is deployed."""
