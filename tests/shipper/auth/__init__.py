"""Tests of `shipper/auth`."""
