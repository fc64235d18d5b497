"""TensorRT engines of an avatar's graphs: build, describe, verify and run them."""
