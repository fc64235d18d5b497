"""Engines: TensorRT plans of an avatar's graphs, for the room that builds them and the room that runs them."""
