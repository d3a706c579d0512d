"""What telemetry is."""
