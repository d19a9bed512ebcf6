"""What reading a fragment file met: kept, unmatched, skipped and malformed lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["BadLine", "FragmentReport"]


@dataclass(frozen=True)
class BadLine:
    """A malformed line."""

    path: str
    number: int  # from 1
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.number:,} {self.reason}: {self.text!r}"


@dataclass
class FragmentReport:
    """Counts of one pass over fragments; complete once the pass has ended."""

    n_lines: int = 0
    n_comments: int = 0  # lines that begin with #, empty lines and a line of column names
    n_fragments: int = 0  # of the cells asked for, on chromosomes of the genome, outside excluded regions
    n_excluded: int = 0  # fragments of these cells that are cut in the excluded regions, left out
    n_unmatched: int = 0  # fragments of other barcodes
    n_cells: int = 0
    n_cells_matched: int = 0  # cells with a fragment
    unmatched_barcodes: list[str] = field(default_factory=list)  # examples
    n_unmatched_barcodes: int | None = None  # `None` where they were not counted
    skipped_contigs: dict[str, int] = field(default_factory=dict)  # lines per chromosome the genome lacks
    n_malformed: int = 0
    malformed: list[BadLine] = field(default_factory=list)  # the first ones
    sorted: bool = True  # each chromosome in one stretch, positions ascending

    def merge(self, other: FragmentReport) -> None:
        """Add the counts of another file of the same object."""
        for name in (
            "n_lines",
            "n_comments",
            "n_fragments",
            "n_excluded",
            "n_unmatched",
            "n_cells",
            "n_cells_matched",
            "n_malformed",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unmatched_barcodes = (self.unmatched_barcodes + other.unmatched_barcodes)[:10]
        if other.n_unmatched_barcodes is not None:
            self.n_unmatched_barcodes = (self.n_unmatched_barcodes or 0) + other.n_unmatched_barcodes
        for name, n in other.skipped_contigs.items():
            self.skipped_contigs[name] = self.skipped_contigs.get(name, 0) + n
        self.malformed = (self.malformed + other.malformed)[:20]
        self.sorted = self.sorted and other.sorted

    def to_dict(self) -> dict[str, Any]:
        """Return the counts in a form AnnData writes."""
        return {
            "n_lines": self.n_lines,
            "n_fragments": self.n_fragments,
            "n_excluded": self.n_excluded,
            "n_unmatched": self.n_unmatched,
            "n_cells_matched": self.n_cells_matched,
            "n_malformed": self.n_malformed,
            "n_skipped_contigs": len(self.skipped_contigs),
            "n_on_skipped_contigs": sum(self.skipped_contigs.values()),
        }

    def __str__(self) -> str:
        parts = [f"{self.n_fragments:,} fragments of {self.n_cells_matched:,} of {self.n_cells:,} barcodes"]
        if self.n_excluded:
            parts.append(f"{self.n_excluded:,} cut in excluded regions left out")
        if self.n_unmatched:
            others = "" if self.n_unmatched_barcodes is None else f"{self.n_unmatched_barcodes:,} "
            parts.append(f"{self.n_unmatched:,} fragments of {others}other barcodes left out")
        if self.skipped_contigs:
            most = sorted(self.skipped_contigs.items(), key=lambda item: -item[1])
            shown = ", ".join(f"{name} {n:,}" for name, n in most[:3]) + (", …" if len(most) > 3 else "")
            total = sum(self.skipped_contigs.values())
            parts.append(f"{total:,} on {len(most):,} sequences the genome lacks skipped ({shown})")
        if self.n_malformed:
            parts.append(f"{self.n_malformed:,} malformed lines skipped, the first: {self.malformed[0]}")
        return "; ".join(parts)
