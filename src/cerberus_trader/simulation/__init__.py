"""Simulation: the whole engine in virtual time against a world that misbehaves."""
