"""What invocations, inits and restores come to: spans, outcomes, meters."""
