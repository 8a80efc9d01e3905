"""The control of an image-text model: images of other samples, in the same roles, each as often as before."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from caslie_model.data.images import SampleImage
from caslie_model.data.samples import Sample
from caslie_model.vision.visual_inputs import shuffled

PLAIN = Sample("", "sequential_recommendation", "test", "", "", None, (), {}, "yes", None, None)


def test_shuffled_images_change_samples_and_keep_their_kind_of_role() -> None:
    samples = [replace(PLAIN, id=f"s{number}") for number in range(9)]
    images = {
        sample.id: (
            *(SampleImage(f"history {n}", f"{sample.id} history {n}") for n in range(1, 2 + number % 3)),
            *(SampleImage(f"option {letter}", f"{sample.id} option {letter}") for letter in "AB"),
        )
        for number, sample in enumerate(samples)
    }
    moved = shuffled(images, samples, seed=1)
    for name, shown in moved.items():
        assert [image.role for image in shown] == [image.role for image in images[name]]
        for image in shown:
            owner, kind, _ = image.key.split()
            assert owner != name
            assert image.role.startswith(kind)
    counts = [Counter(p.key for shown in each.values() for p in shown) for each in (images, moved)]
    assert counts[0] == counts[1]
    assert shuffled(images, samples[::-1], seed=1) == moved
    assert shuffled(images, samples, seed=2) != moved


def test_tasks_and_splits_keep_their_own_images() -> None:
    samples = [
        replace(PLAIN, id=f"{split}{n}", split=split) for split in ("test", "test_ood") for n in range(3)
    ]
    images = {sample.id: (SampleImage("product", sample.id),) for sample in samples}
    for name, (image,) in shuffled(images, samples, seed=0).items():
        assert image.key != name
        assert image.key[:-1] == name[:-1]
