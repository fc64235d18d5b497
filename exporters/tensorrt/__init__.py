"""TensorRT: engines of the avatar's graphs, each as precise as it must be, with a sidecar that says what it is."""
