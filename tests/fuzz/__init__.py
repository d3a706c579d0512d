"""Fuzzing: what may come from outside, and what must hold of it whatever it is."""
