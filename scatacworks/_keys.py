"""Every AnnData slot name, once."""

from __future__ import annotations

from typing import Final

# .uns
FILES: Final = "files"  # muon's convention: .uns["files"]["fragments"] is a path or a dict sample -> path
FRAGMENTS: Final = "fragments"
REFERENCE_SEQUENCES: Final = "reference_sequences"  # SnapATAC2's columns, below
REFERENCE_GENES: Final = "reference_genes"  # gene table, instead of a built-in one
EXCLUDED_REGIONS: Final = "excluded_regions"  # fragments cut in them are left out wherever fragments are read
REFERENCE_NAME: Final = "reference_seq_name"
REFERENCE_LENGTH: Final = "reference_seq_length"
REFERENCE_NUCLEAR: Final = "reference_seq_nuclear"  # only where names do not tell organelles
GENOME: Final = "genome"  # name of the assembly, inside .uns["scatacworks"]
PROVENANCE: Final = "scatacworks"
PSEUDOBULK: Final = "pseudobulk"
DENOISED: Final = "denoised"
PEAKS: Final = "peaks"
DIFFERENTIAL_REGIONS: Final = "differential_regions"
BACKGROUND: Final = "background"
PRIOR: Final = "prior"  # of denoised tracks: what other samples say there
MOMENTS_SUFFIX: Final = "_moments"  # of the groups' key: what tl.background writes
Z_SUFFIX: Final = "_z"  # of the result's key: z per base
FOOTPRINT: Final = "footprint"
QC: Final = "qc"
LSI: Final = "lsi"
PARAMS: Final = "params"

# layers of a slot that holds Tracks
CUT_SITES: Final = "cut_sites"
SIGNAL: Final = "signal"
PROBABILITY: Final = "probability"
UNGUIDED: Final = "probability_unguided"  # without the prior, where there was one
DENOISED_STORE: Final = f"{SIGNAL}/zarr.json"  # the file by which a zarr store of denoised tracks is known

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
X_LSI: Final = "X_lsi"
SUBSAMPLE: Final = "subsample"  # a membership, or in .uns a thinned pseudobulk

# the consensus index and the vocabulary
DHS_INDEX: Final = "dhs_index"  # .uns: params, peaks with their element, names of the chromosome ends, retired names
VOCABULARY: Final = "vocabulary"  # .uns: params and quality of the fit
X_VOCABULARY: Final = "X_vocabulary"  # .obsm and .varm: loadings of samples (or cells) and of elements
COMPONENT: Final = "component"  # .obs and .var: the dominant component, categorical
COMPONENT_PROPORTION: Final = "component_proportion"
N_COMPONENTS: Final = "n_components"
SATURATION: Final = "saturation"
VOCABULARY_SCAN: Final = "vocabulary_scan"
COMPONENT_LABELS: Final = "component_labels"

# annotation of elements
GENE_COMPONENTS: Final = "gene_components"
GENE_SET_COMPONENTS: Final = "gene_set_components"
MOTIF_MATCHES: Final = "motif_matches"  # .varm: elements x motifs, sparse bool
MOTIF_ENRICHMENT: Final = "motif_enrichment"
TF_ELEMENTS: Final = "tf_elements"
COMPONENT_CLUSTERING: Final = "component_clustering"
TRAIT_ENRICHMENT: Final = "trait_enrichment"
REGION_COMPONENTS: Final = "region_components"  # components among annotated regions
TRAIT_SCORES: Final = "trait_scores"
MOTIF_DEVIATIONS: Final = "motif_deviations"
MOTIF_VARIABILITY: Final = "motif_variability"
GENE_SCORES: Final = "gene_scores"
X_BULK: Final = "X_bulk"  # .obsm: cells on the components of a bulk reference; .uns: the reference
