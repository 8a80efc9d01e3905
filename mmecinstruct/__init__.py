"""Build e-commerce multimodal instruction datasets. Runs without torch."""

from mmecinstruct.version import __version__

__all__ = ["__version__"]
