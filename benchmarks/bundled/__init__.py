"""How the bundled weights were made: everything resident on one device, drawn and trained there."""
