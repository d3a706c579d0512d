"""The demo's function."""
