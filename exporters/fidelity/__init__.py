"""The fidelity report: image loss of every stage from the implicit render to the student."""
