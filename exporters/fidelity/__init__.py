"""The fidelity report: every stage from the implicit render to the student, measured before an avatar is written."""
