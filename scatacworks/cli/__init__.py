"""The command line, thin over the Python functions."""
