"""How many tokens requests would take, and what they would cost: an estimate, before anything is asked."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

from caslie_model.inference.prices import Price
from caslie_model.inference.server_replies import TokenUsage

# Measured with the tokenizer of SmolLM2 on prompts about products, and on captions. Those of larger models differ by a
# tenth.
CHARACTERS_PER_TOKEN = 3.8
TOKENS_PER_WORD = 1.4
# Side of the square of an image that is one token, as Qwen2.5-VL has it.
PIXELS_PER_TOKEN = 28 * 28


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """Tokens of requests that are not asked yet.

    Attributes:
        prompt: Of their texts and images.
        reply: Of replies of the usual length.
        most: Of replies that are as long as they may be.
    """

    prompt: int
    reply: int
    most: int

    def money(self, price: Price | None) -> tuple[float, float] | None:
        """Return what they would cost, and at most, None without prices.

        Args:
            price: The prices of the model.
        """
        if price is None:
            return None
        costs = [price.cost(TokenUsage(self.prompt, tokens)) for tokens in (self.reply, self.most)]
        return costs[0], costs[1]


def estimated_tokens(
    characters: Iterable[int], images: Iterable[int], reply_words: int, reply_tokens: int
) -> TokenEstimate:
    """Return the tokens of requests.

    Args:
        characters: Those of each prompt.
        images: Pixels of each image that is shown.
        reply_words: Words of a reply, as they are expected.
        reply_tokens: Tokens of a reply at most.
    """
    texts = [math.ceil(count / CHARACTERS_PER_TOKEN) for count in characters]
    shown = sum(max(1, math.ceil(pixels / PIXELS_PER_TOKEN)) for pixels in images)
    expected = min(reply_tokens, math.ceil(reply_words * TOKENS_PER_WORD))
    return TokenEstimate(sum(texts) + shown, expected * len(texts), reply_tokens * len(texts))


def pixels_of(content: bytes, most: int) -> int:
    """Return the pixels of an image as a model is shown it; of one that cannot be read, the most.

    Args:
        content: The encoded image, of which the beginning is read.
        most: Pixels that a larger one is shrunk to.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            return min(most, image.width * image.height)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        return most
