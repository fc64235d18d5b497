"""Refinement of the student on the images of a dataset, after it is distilled from the network."""
