"""A motion played by a baked avatar and written for other programs: one file a format, each owning its row."""
