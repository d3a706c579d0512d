"""The built layer on the sandbox, under AWS's emulator, and before a real OTLP agent."""
