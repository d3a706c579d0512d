"""What invocations, inits and restores come to."""
