"""The command `mmec`, put together from its panels. Data goes to stdout, messages to stderr.

Heavy libraries are imported inside the commands, so that help answers at once.
"""

from __future__ import annotations

from mmecinstruct.cli import build, images, inspect, maintenance, publish, raw_files
from mmecinstruct.core.commands import make_app, run_app

app = make_app(
    "mmec",
    "Build e-commerce multimodal instruction datasets.",
    [module.panel for module in (build, raw_files, images, inspect, publish, maintenance)],
    "mmec build --tasks all",
    "mmec validate dataset-sample",
)


def main() -> None:
    """Run the command line; a known error is a message and exit status 1."""
    run_app(app)


if __name__ == "__main__":
    main()
