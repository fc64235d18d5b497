"""Export formats, one file or folder each, and their table."""
