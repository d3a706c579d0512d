"""What telemetry is, in no destination's form."""
