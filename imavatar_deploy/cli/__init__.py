"""Shared parts of the commands: error messages, progress bars, groups of options.

Needs click and rich.
"""
