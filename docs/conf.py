"""Sphinx configuration."""

from __future__ import annotations

import importlib
import os
from importlib.metadata import version as package_version
from pathlib import Path

HERE = Path(__file__).parent

project = "scatacworks"
author = "the scatacworks developers"
copyright = f"2026, {author}"  # noqa: A001
release = version = package_version("scatacworks")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]
templates_path = ["_templates"]

autosummary_generate = True
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": False}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath", "html_image"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing", "intersphinx.external"]

# Tutorials run in the docs build: a page that does not work does not get published.
nb_execution_mode = "cache"
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_merge_streams = True
os.environ.pop("MPLBACKEND", None)  # pages would come out without their figures
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # of tqdm, with the path of this environment

# Some read real data that is too large for the package; where that is absent their code is shown without its output.
SHARED_DATA = Path(os.environ.get("SCA_SHARED_DATA", HERE.parents[1] / "shared" / "data"))
if not SHARED_DATA.is_dir():
    print(f"No folder {SHARED_DATA}: tutorials that read SCA_SHARED_DATA are not run.")
    pages = (HERE / "tutorials").glob("*.md")
    nb_execution_excludepatterns = [f"*/{page.name}" for page in pages if "SCA_SHARED_DATA" in page.read_text()]

intersphinx_mapping: dict[str, tuple[str, None]] = {}  # the build needs no network

html_theme = "sphinx_book_theme"
html_title = "scatacworks"
html_static_path = ["_static"]
html_theme_options = {
    "use_download_button": False,
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
}

NAMESPACES = {
    "io": ("Files in and out: `io`", "Read fragments, peaks, genes and motifs; write bigWig, BED and more."),
    "pp": ("Preprocessing: `pp`", "From fragments to quality figures, groups of cells and cut sites per group."),
    "tl": ("Tools: `tl`", "Denoising, peaks, differential regions, index, vocabulary and annotation."),
    "pl": ("Plots: `pl`", "One plot per result. Embeddings stay scanpy's."),
    "get": ("Results: `get`", "Results as arrays and tidy tables."),
    "models": ("Models: `models`", "Networks, weights and inference."),
    "metrics": ("Metrics: `metrics`", "Scores of tracks and peaks."),
    "datasets": ("Data sets: `datasets`", "Small real data in the package, and made-up sets."),
}


def write_api_pages() -> None:
    """List what each namespace exports, so that no public name can be missing from the documentation."""
    folder = HERE / "api"
    folder.mkdir(exist_ok=True)
    for name, (title, text) in NAMESPACES.items():
        namespace = importlib.import_module(f"scatacworks.{name}")
        listed = "\n".join(f"   {public}" for public in namespace.__all__)
        page = (
            f"# {title}\n\n{text}\n\n```{{eval-rst}}\n.. currentmodule:: scatacworks.{name}\n\n"
            f".. autosummary::\n   :toctree: generated/\n   :nosignatures:\n\n{listed}\n```\n"
        )
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text() != page:
            path.write_text(page)


write_api_pages()
