"""Evaluation: metrics of rendered frames against a dataset, and the report about them."""
