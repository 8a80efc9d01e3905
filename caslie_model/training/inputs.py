"""Everything that one training is given beside its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from caslie_model.backbones.language_model import BaseModel
from caslie_model.batching.order import BatchOrder
from caslie_model.data.images import Features
from caslie_model.prompts.encoder import Encoded, PromptFormat
from caslie_model.runtime.device import Device
from caslie_model.training.early_stopping import EarlyStop
from caslie_model.vision.visual_inputs import VisualInputs
from mmecinstruct.core.hashing import fingerprint


@dataclass(frozen=True)
class TrainingInputs:
    """Base model, samples and their order, as `train` takes them.

    Attributes:
        base: The frozen base model, on the device that is trained on.
        prompt_format: How samples became tokens. Its templates are saved with the adapter.
        encoded: The training samples in tokens.
        order: Which samples are in which batch.
        visual_inputs: Images and features for a fusion model, None for text.
        early_stop: How validation ends the training, None without it.
        captions: Who wrote and judged the captions of the prompts, and how many are shown; empty without.
    """

    base: BaseModel
    prompt_format: PromptFormat
    encoded: Sequence[Encoded]
    order: BatchOrder
    visual_inputs: VisualInputs | None = None
    early_stop: EarlyStop | None = None
    captions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> Device:
        """The device of the base model, which everything else follows."""
        return self.base.device

    @property
    def features(self) -> Features | None:
        """The features of images by their keys, None for text."""
        return self.visual_inputs.features if self.visual_inputs else None

    @property
    def templates(self) -> tuple[str, str]:
        """The user's and the plain prompt template."""
        return self.prompt_format.user_template, self.prompt_format.plain_template

    @property
    def longest(self) -> int:
        """Tokens of the longest sample with the answer that is learnt, or with any answer that is validated."""
        validated = self.early_stop.encoded if self.early_stop else ()
        return max(
            *(len(each.prompt) + len(each.target) for each in self.encoded),
            *(len(each.prompt) + each.answer_room for each in validated),
            0,
        )

    def fingerprint(self) -> str:
        """Return the fingerprint that a resumed run compares: it changes with model, samples, prompts and order."""
        return fingerprint(
            [
                self.base.fingerprint,
                self.order.batches,
                [
                    [each.prompt, each.target, each.fingerprint if each.images else ""]
                    for each in self.encoded
                ],
                *([self.visual_inputs.fingerprint] if self.visual_inputs else []),
                *(
                    [[each.fingerprint, each.target] for each in self.early_stop.encoded]
                    if self.early_stop
                    else []
                ),
            ]
        )
