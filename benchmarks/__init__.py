"""Benchmarks: every row runs ours and a reference side by side and prints the ratio."""
