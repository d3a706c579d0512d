"""The examples, checked by the tools they are for, and by reading."""
