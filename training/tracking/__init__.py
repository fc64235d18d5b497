"""Tracking: a video of a person becomes a dataset in the published layout."""
