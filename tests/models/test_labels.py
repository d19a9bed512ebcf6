"""Peaks called from a clean track are those of macs3, from real cut sites to intervals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

import scatacworks as sca
from scatacworks._core.pileup import run_length_coverage
from scatacworks.models._labels import label_peaks, least_coverage, upper_tail_score

MACS = Path(sys.executable).parent / "macs3"


def blood(_):
    """A deep blood type on one chromosome of which the package holds windows."""
    adata = sca.datasets.pbmc_windows()
    sca.pp.pseudobulk(adata, "cell_type", groups=["CD14+ Monocytes"], progress=False, n_jobs=1)
    tracks = sca.get.tracks(adata, layer="cut_sites")
    positions, _, counts = tracks.runs(0, "chr11")
    return positions, counts, tracks.genome.sizes["chr11"], 0.5


def stem_cells(request):
    """HSC at 80 M reads, 10 Mb of chr3."""
    file = request.getfixturevalue("shared_data") / "atacworks_hsc" / "HSC.80M.cut_sites.bedGraph.gz"
    table = pd.read_csv(file, sep="\t", header=None, names=["chrom", "start", "end", "count"])
    table = table[table["chrom"] == "chr3"]
    return table["start"].to_numpy(np.int32), table["count"].to_numpy(np.uint16), 10_000_000, 0.0


@pytest.mark.skipif(not MACS.is_file(), reason="macs3 is not installed beside this Python")
@pytest.mark.parametrize("source", [blood, stem_cells])
def test_peaks_equal_those_of_macs3(source, request, tmp_path):
    positions, counts, length, least_mean = source(request)
    found = label_peaks(positions, counts, length=length, least_mean=least_mean)
    starts, lengths, values = run_length_coverage(positions, counts, length, 100)
    mean = max(float(lengths @ values.astype(np.float64)) / length, least_mean)
    write_bedgraph(tmp_path / "coverage.bdg", starts, lengths, values, length)
    (tmp_path / "mean.bdg").write_text(f"chr1\t0\t{length}\t{mean!r}\n")
    macs("bdgcmp", "-t", "coverage.bdg", "-c", "mean.bdg", "-m", "ppois", "-o", "scores.bdg", cwd=tmp_path)
    peaks = ["bdgpeakcall", "-i", "scores.bdg", "-c", "3", "-l", "200", "-g", "30", "--no-trackline"]
    macs(*peaks, "-o", "peaks.narrowPeak", cwd=tmp_path)
    theirs = pd.read_csv(tmp_path / "peaks.narrowPeak", sep="\t", header=None)[[1, 2]].to_numpy(np.int64)
    assert len(found) > 20
    np.testing.assert_array_equal(found, theirs[np.argsort(theirs[:, 0])])


@pytest.mark.parametrize("least_mean", [0.0, 6.0])
def test_peaks_are_those_found_base_by_base(least_mean):
    rng = np.random.default_rng(0)
    for length in rng.integers(20_000, 30_000, 20):
        centers = rng.integers(0, length, 60)
        near = np.clip(np.repeat(centers, 12) + rng.normal(0, 90, 720).astype(int), 0, length - 1)
        positions, counts = np.unique(near, return_counts=True)
        coverage = np.zeros(length)
        for position, count in zip(positions, counts, strict=True):
            coverage[max(position - 100, 0) : position + 101] += count
        mean = max(coverage.mean(), least_mean)
        expected = []
        for base in np.flatnonzero(stats.poisson.sf(coverage, mean) <= 1e-3):
            if expected and base - expected[-1][1] <= 30:
                expected[-1][1] = base + 1
            else:
                expected.append([base, base + 1])
        expected = [peak for peak in expected if peak[1] - peak[0] >= 200]
        found = label_peaks(
            positions.astype(np.int32), counts.astype(np.uint16), length=int(length), least_mean=least_mean
        )
        assert found.tolist() == expected


@pytest.mark.parametrize(("gap", "peaks"), [(30, [[900, 1332]]), (31, [[900, 1101], [1132, 1333]])])
def test_peaks_are_joined_over_30_bases(gap, peaks):
    positions, counts = np.array([1_000, 1_201 + gap], np.int32), np.array([20, 20], np.uint16)
    assert label_peaks(positions, counts, length=100_000).tolist() == peaks


@pytest.mark.parametrize("mean", [0.05, 0.5, 5.1, 80.0])
def test_scores_are_minus_the_logarithm_of_the_tail(mean):
    seen = np.array([0, 1, 7, 40, 500, 5_000])
    terms = stats.poisson.logpmf(seen[:, None] + np.arange(1, 2_000), mean)
    np.testing.assert_allclose(
        upper_tail_score(seen, mean), -logsumexp(terms, axis=1) / np.log(10), rtol=1e-4, atol=1e-12
    )
    scores = upper_tail_score(np.arange(1_000), mean)
    for cutoff in (2.0, 3.0, scores[8], scores[9]):
        assert least_coverage(mean, cutoff) == np.flatnonzero(scores >= cutoff)[0]


def test_labels_follow_the_rule_of_macs():
    prob = pytest.importorskip("MACS3.Signal.Prob")
    for mean in (0.3556, 5.1):
        for seen in (0, 1, 7, 14, 40):
            expected = -prob.poisson_cdf(seen, mean, lower=False, log10=True)
            assert upper_tail_score(np.array([seen]), mean)[0] == pytest.approx(expected, abs=1e-5)
        least = least_coverage(mean, 3.0)
        assert upper_tail_score(np.array([least - 1, least]), mean).tolist() == sorted(
            upper_tail_score(np.array([least - 1, least]), mean)
        )
    assert np.isfinite(upper_tail_score(np.array([5000]), 0.5)).all()


def write_bedgraph(path, starts, lengths, values, size):
    """Runs with the zeros between them, which macs3 would fill with the score of a neighbour."""
    ends = starts + lengths
    edges = np.unique(np.concatenate([[0, size], starts, ends]))
    at = np.searchsorted(starts, edges[:-1], side="right") - 1
    covered = (at >= 0) & (edges[:-1] < ends[at])
    table = pd.DataFrame({"c": "chr1", "s": edges[:-1], "e": edges[1:], "v": np.where(covered, values[at], 0)})
    table.to_csv(path, sep="\t", header=False, index=False)


def macs(*arguments, cwd):
    subprocess.run([str(MACS), *arguments], cwd=cwd, check=True, capture_output=True)
