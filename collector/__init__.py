"""The collector: takes what the Telemetry API delivers, keeps it in the backlog, then acknowledges it."""
