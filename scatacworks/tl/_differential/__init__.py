"""Regions where a group of cells differs from its kind."""
