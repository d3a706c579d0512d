"""Tests of what the three processes share."""
