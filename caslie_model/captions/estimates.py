"""What captioning would ask, and what it would cost. No model is loaded, nothing is asked or written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caslie_model.captions.ask_captioner import prompt_fingerprint
from caslie_model.captions.captioner import CaptionRequest, captioner_name, folder_name
from caslie_model.captions.opening import is_asked
from caslie_model.captions.parts import captions_root, read_parts
from caslie_model.captions.prompts import within_words
from caslie_model.captions.requests import Asked, distinct_requests, image_requests, rewriting_requests
from caslie_model.captions.run import LOG
from caslie_model.config.captions import CaptionConfig
from caslie_model.data.image_bytes import SpooledImages, spool_images
from caslie_model.data.samples import Sample
from caslie_model.inference.prediction_log import read_log
from caslie_model.inference.prices import Spending, price_of
from caslie_model.inference.server_messages import CONTROL_TEXTS
from caslie_model.inference.server_settings import settings_of
from caslie_model.inference.token_estimates import (
    CHARACTERS_PER_TOKEN,
    PIXELS_PER_TOKEN,
    estimated_tokens,
    pixels_of,
)
from mmecinstruct.schemas.captions import CAPTIONS_FOLDER

# Letters of a word of English, with the blank behind it.
_LETTERS = 6
_HOW = (
    f"Tokens and money are estimates of what is to ask: a token for {CHARACTERS_PER_TOKEN} characters of a prompt and "
    f"for {PIXELS_PER_TOKEN} pixels of an image, replies of max_words."
)


def estimate_captions(config: CaptionConfig, overwrite: bool = False) -> dict[str, Any]:
    """Return how much there would be to caption, and an estimate of its tokens and its money.

    Args:
        config: The settings.
        overwrite: Whether earlier captions would be forgotten.

    Returns:
        `samples`, `images` of them, `distinct_images`; `requests` (distinct pairs of image and prompt), those `cached`
        by earlier runs, and those `to_ask`; and of each of the `steps` the same with its `model`, and of what is to be
        asked `images_to_show`, `prompt_tokens`, `reply_tokens`, `most_reply_tokens`, `money` and `most_money` (None
        without prices). `spent` is what earlier runs cost.

        Cached is what has a caption by a model of that name: whether it is of the same revision and settings is not
        checked. Rewritings of images without a general caption are counted as if no two of these read alike.

    Raises:
        MmecError: If data, settings or folder do not allow it.
    """
    folder = captions_root(config) / CAPTIONS_FOLDER / folder_name(config)
    parts = read_parts(config.data, config.tasks, config.splits, config.limit, config.seed)
    samples = [sample for part in parts for sample in part.samples]
    log = {} if overwrite else read_log(folder / LOG)
    known = {
        (record["id"], record.get("prompt")): record["prediction"]
        for record in log.values()
        if record["prediction"] is not None
    }
    with spool_images(config.data, samples) as spool:
        counted = _Counting(samples, spool, known)
        first, *more = config.steps
        asked = counted.first(first)
        steps = [counted.step(first, distinct_requests(asked).values())]
        if more:
            rewritten = counted.second(first, more[0], asked)
            steps.append(counted.step(more[0], distinct_requests(rewritten).values()))
        images = [image.key for sample in samples for image in spool.images[sample.id]]
    spending = Spending()
    for record in log.values():
        spending.add_earlier(record.get("usage"))
    return {
        "samples": len(samples),
        "images": len(images),
        "distinct_images": len(set(images)),
        **{name: sum(step[name] for step in steps) for name in ("requests", "cached", "to_ask")},
        "spent": round(spending.spent, 9),
        "steps": steps,
    }


@dataclass(frozen=True)
class _Counting:
    """Counts requests without their models.

    Attributes:
        samples: The samples.
        spool: Their images.
        known: Captions by image and fingerprint of the prompt.
    """

    samples: Sequence[Sample]
    spool: SpooledImages
    known: Mapping[tuple[str, str | None], str]

    def first(self, config: CaptionConfig) -> Asked:
        """Return what is asked of the images."""
        controls = CONTROL_TEXTS if config.asks_server else () if is_asked(config) else None
        return image_requests(config, self.samples, self.spool.images, controls, "")

    def second(self, first: CaptionConfig, config: CaptionConfig, general: Asked) -> Asked:
        """Return what is asked of the rewriter; a caption that is not there yet is as long as it may be."""
        texts = {}
        for request in distinct_requests(general).values():
            made = self._caption(first, request)
            # Its image tells it from others.
            unknown = request.image[:_LETTERS].ljust(_LETTERS * first.max_words)
            texts[request.image] = unknown if made is None else within_words(made, first.max_words)
        controls = CONTROL_TEXTS if config.asks_server else ()
        return rewriting_requests(config, self.samples, self.spool.images, controls, "", texts, general)

    def step(self, config: CaptionConfig, requests: Iterable[CaptionRequest]) -> dict[str, Any]:
        """Return counts and the estimate of a step."""
        distinct = list(requests)
        to_ask = [request for request in distinct if self._caption(config, request) is None]
        found: dict[str, Any] = {
            "model": captioner_name(config),
            "requests": len(distinct),
            "cached": len(distinct) - len(to_ask),
            "to_ask": len(to_ask),
            "images_to_show": sum(bool(request.image) for request in to_ask),
        }
        if not is_asked(config):
            return found
        tokens = estimated_tokens(
            [len(request.prompt) for request in to_ask],
            [
                pixels_of(self.spool.content(request.image), config.max_pixels)
                for request in to_ask
                if request.image
            ],
            config.max_words,
            config.reply_tokens,
        )
        price = price_of(settings_of(config)) if config.asks_server else None
        money, most = tokens.money(price) or (None, None)
        return {
            **found,
            "prompt_tokens": tokens.prompt,
            "reply_tokens": tokens.reply,
            "most_reply_tokens": tokens.most,
            "money": money,
            "most_money": most,
        }

    def _caption(self, config: CaptionConfig, request: CaptionRequest) -> str | None:
        return self.known.get((request.image, prompt_fingerprint(captioner_name(config), request.prompt)))


def estimate_text(estimate: Mapping[str, Any]) -> str:
    """Return an estimate as lines to read.

    Args:
        estimate: As `estimate_captions` returns it.
    """
    lines = [_line(name, estimate[name]) for name in ("samples", "images", "distinct_images")]
    for step in estimate["steps"]:
        lines += ["", step["model"], *(_line(name, step[name]) for name in ("requests", "cached", "to_ask"))]
        if "prompt_tokens" not in step:
            continue
        lines += [_line(name, step[name]) for name in ("images_to_show", "prompt_tokens")]
        lines.append(f"{_line('reply_tokens', step['reply_tokens'])}, at most {step['most_reply_tokens']:,}")
        if step["money"] is not None:
            lines.append(f"{'money':<17}{step['money']:>12,.4f}, at most {step['most_money']:,.4f}")
    if estimate["spent"]:
        lines += ["", f"{'spent so far':<17}{estimate['spent']:>12,.4f}"]
    if any("prompt_tokens" in step for step in estimate["steps"]):
        lines += ["", _HOW]
    return "\n".join(lines)


def _line(name: str, count: int) -> str:
    return f"{name.replace('_', ' '):<17}{count:>12,}"
