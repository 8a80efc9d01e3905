"""Build e-commerce multimodal instruction datasets. Runs without torch.

    import mmecinstruct as mm

    if __name__ == "__main__":
        mm.build("sample", "dataset-sample")
        rows = mm.load("dataset-sample", "sentiment_analysis", split="test")

A name is imported when it is first used. Builds, image checks and audits work in several processes, which import the
script: there call them below `if __name__ == "__main__":`, or give `workers=1`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmecinstruct.core.lazy import lazy_names
from mmecinstruct.version import __version__

if TYPE_CHECKING:
    from mmecinstruct.api import (
        audit,
        build,
        check_images,
        load,
        load_recipe,
        pull,
        push_to_hub,
        validate,
    )
    from mmecinstruct.core.errors import MmecError
    from mmecinstruct.recipe import Recipe

__all__ = [
    "MmecError",
    "Recipe",
    "__version__",
    "audit",
    "build",
    "check_images",
    "load",
    "load_recipe",
    "pull",
    "push_to_hub",
    "validate",
]

# Otherwise a type checker would accept any name as a public one.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            **dict.fromkeys(__all__, "mmecinstruct.api"),
            "MmecError": "mmecinstruct.core.errors",
            "Recipe": "mmecinstruct.recipe",
            "__version__": "mmecinstruct.version",
        },
    )
