from __future__ import annotations

import itertools

import pytest

from scatacworks.io._barcodes import SEPARATORS, join_names, split_names


def slow_split(name, samples):
    """Try every sample, the longest first, with every separator: all before the barcode, then all after it."""
    samples = sorted(samples, key=len, reverse=True)
    for sample, separator in itertools.product(samples, SEPARATORS):
        if name.startswith(sample + separator):
            return sample, name[len(sample) + len(separator) :]
    for sample, separator in itertools.product(samples, SEPARATORS):
        if name.endswith(separator + sample):
            return sample, name[: -len(sample) - len(separator)]
    return None


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("sample", ["donor", "donor_1", "donor_1_b", "GSM-1_x.2"])
def test_samples_with_separators_in_their_names_are_found_at_either_end(sample, separator):
    samples = ["donor", "donor_1", "donor_1_b", "GSM-1_x.2"]
    for name in (f"{sample}{separator}ACGTACGT-1", f"ACGTACGT-1{separator}{sample}"):
        found = split_names([name], samples)
        (expected, barcode) = slow_split(name, samples)
        assert (expected, barcode) == (sample, "ACGTACGT-1")
        assert {one: list(names) for one, names in found.items() if names} == {expected: [barcode]}


@pytest.mark.parametrize("sample", ["a", "a:b", "1"])
def test_names_as_they_are_made_here_are_of_their_sample(sample):
    for barcode in ("ACGTACGT-1", "ACGTACGT-10"):
        found = split_names(join_names(sample, [barcode]), ["a", "a:b", "1", "10"])
        assert {one: list(names) for one, names in found.items() if names} == {sample: [barcode]}


def test_a_name_is_not_compared_with_every_sample():
    class Sample(str):
        __slots__ = ()
        n_looks = 0

        def __radd__(self, other):
            Sample.n_looks += 1
            return other + str(self)

        def __add__(self, other):
            Sample.n_looks += 1
            return str(self) + other

    samples = [Sample(f"donor_{i}") for i in range(100)]
    found = split_names([f"donor_{i}_ACGTACGT-1" for i in range(100)], samples)
    assert all(list(names) == ["ACGTACGT-1"] for names in found.values())
    assert Sample.n_looks == 0
