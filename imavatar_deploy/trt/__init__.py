"""TensorRT plans of an avatar's graphs: built, described, checked and run."""
