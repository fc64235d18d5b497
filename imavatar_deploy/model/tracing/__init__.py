"""Tracing: where rays meet an avatar's surface, one tracer a file."""
