"""The paper's experiments: tables 2 to 4, figures 5 and 6, and the sweep of expressions."""
