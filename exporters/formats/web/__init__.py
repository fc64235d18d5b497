"""The format `web`: a folder that any static host serves, and its check in a browser."""
