"""Tests, the sandbox they run on, and the benchmarks."""
