"""Every AnnData slot name, once."""

from __future__ import annotations

from typing import Final

# .uns
FILES: Final = "files"  # muon's convention: .uns["files"]["fragments"] is a path or a dict sample -> path
FRAGMENTS: Final = "fragments"
REFERENCE_SEQUENCES: Final = "reference_sequences"  # SnapATAC2's columns, below
REFERENCE_NAME: Final = "reference_seq_name"
REFERENCE_LENGTH: Final = "reference_seq_length"
GENOME: Final = "genome"  # name of the assembly, inside .uns["scatacworks"]
PROVENANCE: Final = "scatacworks"
PSEUDOBULK: Final = "pseudobulk"
DENOISED: Final = "denoised"
PEAKS: Final = "peaks"
DIFFERENTIAL_REGIONS: Final = "differential_regions"
PARAMS: Final = "params"

# layers of a slot that holds Tracks
CUT_SITES: Final = "cut_sites"
SIGNAL: Final = "signal"
PROBABILITY: Final = "probability"

# .obs
N_FRAGMENTS: Final = "n_fragments"
FRAC_DUP: Final = "frac_dup"
FRAC_MITO: Final = "frac_mito"
TSSE: Final = "tsse"
NUCLEOSOME_SIGNAL: Final = "nucleosome_signal"
FRIP: Final = "frip"
SAMPLE: Final = "sample"

# .obsm
FRAGMENT_PAIRED: Final = "fragment_paired"  # SnapATAC2's cells x genome matrix: column = start, value = length
KNN_GROUPS: Final = "knn_groups"
