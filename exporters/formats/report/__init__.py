"""The format `report`: a static page with the pictures of the fidelity report."""
