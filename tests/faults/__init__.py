"""Faults at every step of the protocol, against real processes and a real server."""
