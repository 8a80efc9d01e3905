"""What is asked of the images of samples: for each sample, of the image alone, or a rewriting of a general caption."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from caslie_model.captions.captioner import CaptionRequest
from caslie_model.captions.prompts import caption_prompt, general_prompt, within_words
from caslie_model.config.captions import CaptionConfig
from caslie_model.data.images import SampleImage
from caslie_model.data.samples import Sample
from caslie_model.inference.prediction_log import Key
from mmecinstruct.core.hashing import fingerprint

# By the id of a sample, for each of its images.
Asked: TypeAlias = dict[str, list[CaptionRequest]]
Images: TypeAlias = Mapping[str, Sequence[SampleImage]]


def image_requests(
    config: CaptionConfig,
    samples: Sequence[Sample],
    images: Images,
    controls: Sequence[str] | None,
    settings: str,
) -> Asked:
    """Return what a captioner is asked.

    Args:
        config: The settings of the step.
        samples: The samples.
        images: Their images by sample id.
        controls: Texts of its control tokens; None where it is asked nothing beside the image.
        settings: Fingerprint of all that its captions depend on beside image and prompt.
    """
    general = general_prompt(config.max_words) if config.general else None

    def request(sample: Sample, position: int, image: SampleImage) -> CaptionRequest:
        prompt = ""
        if controls is not None:
            prompt = general or caption_prompt(sample, image.role, config.max_words, controls)
        return _request(image.key, prompt, settings, sample, position, image)

    return _of_all(samples, images, request)


def rewriting_requests(
    config: CaptionConfig,
    samples: Sequence[Sample],
    images: Images,
    controls: Sequence[str],
    settings: str,
    general: Mapping[str, str],
    otherwise: Asked,
) -> Asked:
    """Return what a rewriter is asked. Images whose general captions read alike are one to it.

    Args:
        config: The settings of the step.
        samples: The samples.
        images: Their images by sample id.
        controls: Texts of its control tokens.
        settings: Fingerprint of all that its captions depend on beside the prompt: its captioner too.
        general: General captions by image.
        otherwise: What stands for images that have none.
    """

    def request(sample: Sample, position: int, image: SampleImage) -> CaptionRequest:
        if image.key not in general:
            return otherwise[sample.id][position]
        prompt = caption_prompt(sample, image.role, config.max_words, controls, general[image.key])
        return _request("", prompt, settings, sample, position, image)

    return _of_all(samples, images, request)


def general_captions(
    config: CaptionConfig, requests: Iterable[CaptionRequest], records: Mapping[Key, Mapping[str, Any]]
) -> dict[str, str]:
    """Return the general captions that are there, by image.

    Args:
        config: The settings of the first step.
        requests: What the captioner is asked.
        records: Records of the log.
    """
    return {
        request.image: within_words(records[request.key]["prediction"], config.max_words)
        for request in requests
        if request.key in records
    }


def distinct_requests(asked: Asked) -> dict[Key, CaptionRequest]:
    """Return each request once, by what tells it from others; the first sample's goes."""
    found: dict[Key, CaptionRequest] = {}
    for requests in asked.values():
        for request in requests:
            found.setdefault(request.key, request)
    return found


def _request(
    key: str, prompt: str, settings: str, sample: Sample, position: int, image: SampleImage
) -> CaptionRequest:
    name = f"sample {sample.id}, image {position} ({image.role})"
    return CaptionRequest(key, prompt, fingerprint([settings, prompt])[:16], name)


def _of_all(
    samples: Sequence[Sample], images: Images, request: Callable[[Sample, int, SampleImage], CaptionRequest]
) -> Asked:
    return {
        sample.id: [request(sample, position, image) for position, image in enumerate(images[sample.id])]
        for sample in samples
    }
