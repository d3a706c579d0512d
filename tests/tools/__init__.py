"""Tests of what builds and documents Tailrace."""
