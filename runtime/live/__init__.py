"""Live: a stream of observations from a tracker -> smooth motion -> frames on time."""
