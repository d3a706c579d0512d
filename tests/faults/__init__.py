"""The fault matrix: what may go wrong between a function and its backend, one cell each, held to requirements."""
