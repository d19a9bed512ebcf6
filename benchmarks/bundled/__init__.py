"""How the bundled weights are made: everything resident on one device, drawn and trained there."""
