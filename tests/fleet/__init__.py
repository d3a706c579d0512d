"""Ten thousand environments and one backend, by fake clock: the real machine, flush policy, breaker and backoff."""
