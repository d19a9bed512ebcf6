"""Cells in context: scores, projection and labels."""
