"""What regions mean: genes, gene sets, motifs, traits."""
