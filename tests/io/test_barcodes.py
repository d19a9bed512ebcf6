from __future__ import annotations

import pytest

from scatacworks.io._barcodes import SEPARATORS, split_names


def slow_split(name, samples):
    """Try every sample, the longest first, with every separator."""
    for sample in sorted(samples, key=len, reverse=True):
        for separator in SEPARATORS:
            if name.startswith(sample + separator):
                return sample, name[len(sample) + len(separator) :]
            if name.endswith(separator + sample):
                return sample, name[: -len(sample) - len(separator)]
    return None


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("sample", ["donor_1", "donor_1_b", "GSM-1_x.2"])
def test_samples_with_separators_in_their_names_are_found_at_either_end(sample, separator):
    samples = ["donor_1", "donor_1_b", "GSM-1_x.2"]
    for name in (f"{sample}{separator}ACGTACGT-1", f"ACGTACGT-1{separator}{sample}"):
        found = split_names([name], samples)
        (expected, barcode) = slow_split(name, samples)
        assert {one: list(names) for one, names in found.items() if names} == {expected: [barcode]}


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
