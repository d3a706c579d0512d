"""What leaves, and with what blanked."""
