"""What a line says: text and JSON, levels, times, exceptions, trace context."""
