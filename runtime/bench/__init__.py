"""The bench: avatars timed in every combination of size, shading, backend and number of players."""
