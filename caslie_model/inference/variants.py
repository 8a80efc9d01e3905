"""The questions of a run: every sample as published, and in the variants that the settings ask for.

A variant is asked beside the published question, under the same id: with the options in another order (`order 1`, …),
with the held-out instruction (`instruction unseen`), without its images (`images none`), or with those of other samples
(`images shuffled`). Each changes one thing alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from caslie_model.config.evaluation import PredictConfig
from caslie_model.data.images import SampleImage
from caslie_model.data.samples import Sample
from caslie_model.errors import ConfigError
from caslie_model.inference.questions import Question, Shot
from caslie_model.vision.visual_inputs import shuffled
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import hash_draw

UNSEEN = "instruction unseen"
NO_IMAGES, SHUFFLED_IMAGES = "images none", "images shuffled"
_OPTION = "option "


@dataclass(frozen=True, slots=True)
class OtherImage:
    """An image of another sample, shown in the place of a sample's own.

    Attributes:
        role: The item that it seems to show.
        sample: Id of the sample that has it.
        number: Its place among the images of that sample, from 0.
        caption: Its caption, where one is shown.
    """

    role: str
    sample: str
    number: int
    caption: str | None = None


def choose_other_images(
    config: PredictConfig, whole: Sequence[Sample], samples: Sequence[Sample]
) -> dict[str, tuple[OtherImage, ...]]:
    """Return images of other samples for each sample, where the settings ask for them.

    Args:
        config: Images and seed.
        whole: All samples of the splits, so that a limit changes no choice.
        samples: The samples that are asked.

    Returns:
        By sample id, in the order of the sample's own images.
    """
    if not config.images_effect and config.images != "shuffled":
        return {}
    own = {
        sample.id: tuple(
            SampleImage(role, f"{number} {sample.id}") for number, role in enumerate(sample.image_roles)
        )
        for sample in whole
    }
    moved = shuffled(own, whole, config.seed)
    captions = {sample.id: sample.captions for sample in whole}

    def other(image: SampleImage) -> OtherImage:
        number, _, name = image.key.partition(" ")
        shown = captions[name][int(number)] if captions[name] else None
        return OtherImage(image.role, name, int(number), shown)

    return {sample.id: tuple(map(other, moved[sample.id])) for sample in samples}


def make_questions(
    config: PredictConfig,
    samples: Sequence[Sample],
    images: Mapping[str, tuple[SampleImage, ...]] | None,
    shots: Mapping[str, tuple[Shot, ...]],
    others: Mapping[str, tuple[OtherImage, ...]] = MappingProxyType({}),
) -> list[Question]:
    """Return all questions of a run.

    Args:
        config: Instruction, images, orders of options and seed.
        samples: The samples, as published.
        images: Own images by sample id, of all samples whose images may be shown; None for a model that takes none.
        shots: Demonstrations by sample id.
        others: Images of other samples, as `choose_other_images` returns them.

    Returns:
        The questions of each sample, in the order of the samples.

    Raises:
        ConfigError: If a model without images is asked about images, and without captions of them.
        DatasetError: If a sample lacks the instruction that is asked for.
    """
    has_captions = config.shown_captions is not None
    if images is None and not has_captions and (config.images != "own" or config.images_effect):
        setting = "images_effect" if config.images_effect else f"images={config.images}"
        raise ConfigError(f"{setting}: {config.model} is a text model, which takes no images")
    own = dict(images or {})
    moved = {
        name: tuple(SampleImage(other.role, own[other.sample][other.number].key) for other in chosen)
        for name, chosen in others.items()
        if images is not None
    }
    shown = {"own": own, "shuffled": moved, "none": {}}[config.images]
    captions_of_others = {
        name: tuple(other.caption for other in chosen) for name, chosen in others.items() if has_captions
    }
    questions: list[Question] = []
    for sample in samples:
        if config.images != "own":
            shuffles = config.images == "shuffled"
            sample = replace(sample, captions=captions_of_others.get(sample.id, ()) if shuffles else ())
        published = Question(sample, shown.get(sample.id, ()), shots=shots.get(sample.id, ()))
        if config.instruction == "unseen":
            published = replace(_with_other_instruction(published), variant="")
        questions.append(published)
        if config.instruction == "both" and sample.instruction_unseen is not None:
            questions.append(_with_other_instruction(published))
        questions.extend(in_other_orders(published, config.permute_options, config.seed))
        if config.images_effect and (published.images or any(sample.captions)):
            questions.append(_without_images(published))
            questions.append(
                replace(
                    published,
                    sample=replace(published.sample, captions=captions_of_others.get(sample.id, ())),
                    images=moved.get(sample.id, ()),
                    variant=SHUFFLED_IMAGES,
                )
            )
    return questions


def in_other_orders(question: Question, count: int, seed: int) -> Iterator[Question]:
    """Yield a question with its options in other orders, each another than the published one and than the others.

    A larger count adds orders and changes none. A sample with few options has fewer orders; yes/no has none.

    Args:
        question: The published question.
        count: How many.
        seed: Seed of the hash draws.

    Yields:
        The question with letters given anew, which its images and its right answer follow.
    """
    letters = list(question.sample.options)
    used = [letters]
    attempt = 0
    while len(used) <= count and len(used) < math.factorial(len(letters)):
        attempt += 1
        order = sorted(
            letters,
            key=lambda letter: hash_draw(seed, "orders of options", question.sample.id, str(attempt), letter),
        )
        if order not in used:
            used.append(order)
            yield _in_order(question, order, f"order {len(used) - 1}")


def _in_order(question: Question, order: Sequence[str], variant: str) -> Question:
    sample = question.sample
    asked = dict(zip(order, sample.options, strict=True))
    options = {letter: sample.options[old] for letter, old in zip(sample.options, order, strict=True)}

    def moved(role: str) -> str:
        letter = role.removeprefix(_OPTION)
        return f"{_OPTION}{asked[letter]}" if role.startswith(_OPTION) and letter in asked else role

    def in_places(roles: Sequence[str]) -> list[int]:
        """Return the order in which options stand in that of their letters, in the places that options have."""
        of_options = iter(
            sorted(
                (number for number, role in enumerate(roles) if role.startswith(_OPTION)),
                key=lambda number: roles[number],
            )
        )
        return [next(of_options) if role.startswith(_OPTION) else number for number, role in enumerate(roles)]

    images = [replace(image, role=moved(image.role)) for image in question.images]
    placed = tuple(images[number] for number in in_places([image.role for image in images]))
    roles = list(map(moved, sample.image_roles))
    order_of_roles = in_places(roles)
    return replace(
        question,
        sample=replace(
            sample,
            options=options,
            output=asked[sample.output],
            image_roles=tuple(roles[number] for number in order_of_roles),
            captions=tuple(sample.captions[number] for number in order_of_roles) if sample.captions else (),
        ),
        images=placed,
        variant=variant,
        published=tuple(zip(sample.options, order, strict=True)),
    )


def _with_other_instruction(question: Question) -> Question:
    """Return a question with the held-out instruction, which its demonstrations then have too."""
    unseen = question.sample.instruction_unseen
    if unseen is None:
        raise DatasetError(
            f"sample {question.sample.id} has no instruction_unseen (only test rows have): use instruction=seen"
        )
    shots = tuple(replace(shot, sample=replace(shot.sample, instruction=unseen)) for shot in question.shots)
    return replace(question, sample=replace(question.sample, instruction=unseen), shots=shots, variant=UNSEEN)


def _without_images(question: Question) -> Question:
    shots = tuple(Shot(replace(shot.sample, captions=())) for shot in question.shots)
    sample = replace(question.sample, captions=())
    return replace(question, sample=sample, images=(), shots=shots, variant=NO_IMAGES)
