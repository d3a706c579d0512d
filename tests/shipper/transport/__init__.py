"""Tests of `shipper/transport`."""
