"""Destinations: a module for each kind, which says how events are written, sent, and what answers mean."""
