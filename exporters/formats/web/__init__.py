"""The format `web`: a page that any static web server serves, and its check in a browser."""
