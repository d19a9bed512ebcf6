"""The consensus index and the vocabulary of regulatory components."""
