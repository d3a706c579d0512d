"""The demo: the built layer beside a real function on the sandbox, and what arrived at a backend."""
