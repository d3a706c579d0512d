"""Tests of the supervisor's decisions: no process, no clock, no socket."""
