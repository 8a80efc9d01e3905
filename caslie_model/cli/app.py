"""The command `caslie_model`, put together from its panels. Data goes to stdout, messages to stderr.

Heavy libraries are imported inside the commands, so that help answers at once.
"""

from __future__ import annotations

from caslie_model.cli import ask, caption, caption_quality, compare, evaluate, judge, publish, train
from caslie_model.runtime.processes import end_process
from mmecinstruct.core.commands import make_app, run_app

app = make_app(
    "caslie_model",
    "Fine-tune CASLIE models on MMECInstruct datasets and report metrics per task.",
    [module.panel for module in (train, evaluate, compare, caption, judge, caption_quality, ask, publish)],
    "caslie_model finetune --data dataset-sample --out model",
    "caslie_model evaluate --model model --data dataset-sample --out evaluation",
)


def main() -> None:
    """Run the command line; a known error is a message and exit status 1."""
    run_app(app, end_process)
