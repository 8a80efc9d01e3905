"""Image-text models of several families answer the seven tasks of the sample dataset, images of all items included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mmecinstruct
from caslie_model.config.presets import evaluate_config
from caslie_model.data.image_bytes import SpooledImages, spool_images
from caslie_model.data.samples import Sample, read_samples
from caslie_model.inference.image_text_model import open_image_text_model
from caslie_model.inference.questions import Question
from mmecinstruct.tasks import task_names

FAMILIES = ("qwen2_5_vl", "smolvlm", "llava", "gemma3")
PER_TASK = 2


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    recipe = mmecinstruct.load_recipe("sample", {"sample.products": 300})
    mmecinstruct.build(recipe, folder / "data", workspace=folder / "work", workers=1)
    return folder / "data"


@pytest.fixture(scope="module")
def asked(built: Path) -> list[Sample]:
    """Return samples of each task, with most images."""
    chosen: list[Sample] = []
    for task in task_names():
        found = [sample for split in ("train", "test") for sample in read_samples(str(built), task, split)]
        chosen += sorted(found, key=lambda sample: (-len(sample.image_roles), sample.id))[:PER_TASK]
    return chosen


@pytest.fixture(scope="module")
def spool(built: Path, asked: list[Sample]) -> Iterator[SpooledImages]:
    with spool_images(str(built), asked) as images:
        yield images


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_seven_tasks_are_answered_in_both_ways(
    name: str, image_text_folder: Callable[[str], Path], asked: list[Sample], spool: SpooledImages
) -> None:
    questions = [Question(sample, spool.images[sample.id]) for sample in asked]
    assert len({question.sample.task for question in questions}) == 7
    assert max(len(question.images) for question in questions) > 10
    for scoring in ("generate", "likelihood"):
        labels = []
        for size in (1, 4):
            config = evaluate_config(
                model=str(image_text_folder(name)),
                data="unused",
                out="unused",
                device="cpu",
                scoring=scoring,
                batch_size=size,
                max_pixels=3136,
            )
            predictor = open_image_text_model(config, spool)
            prepared = predictor.prepare(questions)
            for each in prepared:
                assert len(each.prompt.images) == len(each.question.images)
            found = {each.question.key: said for group in predictor.answer(prepared) for each, said in group}
            assert found.keys() == {question.key for question in questions}
            labels.append({key: (said.label, said.text) for key, said in found.items()})
        assert labels[0] == labels[1]
        if scoring == "likelihood":
            assert all(label is not None for label, _ in labels[0].values())
