"""Tests of the shipper."""
