"""Tests of `shipper.delivery`."""
