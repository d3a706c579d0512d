"""Batches to their destination: sent, tried again, split, isolated, given up."""
