"""The bench: an avatar timed in every combination of size, shading, backend and company, side by side."""
