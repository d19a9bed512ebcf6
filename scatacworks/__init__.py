"""Base-resolution regulatory maps of rare cell populations from sparse single-cell ATAC-seq.

The public namespaces load on first use, so that ``import scatacworks as sca`` stays light:
:mod:`~scatacworks.io`, :mod:`~scatacworks.pp`, :mod:`~scatacworks.tl`, :mod:`~scatacworks.pl`,
:mod:`~scatacworks.get`, :mod:`~scatacworks.models`, :mod:`~scatacworks.metrics` and :mod:`~scatacworks.datasets`.
"""

from __future__ import annotations

from importlib.metadata import version

import lazy_loader

from scatacworks import _fork  # noqa: F401 - from the first import on

__version__ = version("scatacworks")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
