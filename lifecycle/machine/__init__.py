"""The supervisor's decisions, pure: events in, commands out."""
