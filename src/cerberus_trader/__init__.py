"""Cerberus: a guarded automated trading engine."""

__version__ = "0.1.0"
