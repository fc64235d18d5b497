"""The student: a small network with features per vertex that imitates the texture network."""
