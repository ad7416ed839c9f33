"""Scanning-electron micrographs of mudrocks to phase masks, tables and reports."""

__version__ = "0.1.0"
