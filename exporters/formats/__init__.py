"""The export formats, one file or folder each, and the table of them."""
