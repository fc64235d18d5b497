"""The student: a small network with features per vertex, trained to reproduce the texture network."""
