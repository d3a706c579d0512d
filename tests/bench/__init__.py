"""Benchmarks: what the extension costs a function, as ratios taken in one run."""
