"""The control of a model that sees: pictures of other samples, in the same roles, each as often as before."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from caslie_model.data.images import Picture
from caslie_model.data.samples import Sample
from caslie_model.vision.visual_inputs import shuffled

PLAIN = Sample("", "sequential_recommendation", "test", "", "", None, (), {}, "yes", None, None)


def test_no_sample_keeps_a_picture_and_every_picture_stays_in_its_kind_of_role() -> None:
    samples = [replace(PLAIN, id=f"s{number}") for number in range(9)]
    pictures = {
        sample.id: (
            *(Picture(f"history {n}", f"{sample.id} history {n}") for n in range(1, 2 + number % 3)),
            *(Picture(f"option {letter}", f"{sample.id} option {letter}") for letter in "AB"),
        )
        for number, sample in enumerate(samples)
    }
    moved = shuffled(pictures, samples, seed=1)
    for name, shown in moved.items():
        assert [picture.role for picture in shown] == [picture.role for picture in pictures[name]]
        for picture in shown:
            owner, kind, _ = picture.key.split()
            assert owner != name
            assert picture.role.startswith(kind)
    counts = [Counter(p.key for shown in each.values() for p in shown) for each in (pictures, moved)]
    assert counts[0] == counts[1]
    assert shuffled(pictures, samples[::-1], seed=1) == moved
    assert shuffled(pictures, samples, seed=2) != moved


def test_tasks_and_splits_keep_their_own_pictures() -> None:
    samples = [
        replace(PLAIN, id=f"{split}{n}", split=split) for split in ("test", "test_ood") for n in range(3)
    ]
    pictures = {sample.id: (Picture("product", sample.id),) for sample in samples}
    for name, (picture,) in shuffled(pictures, samples, seed=0).items():
        assert picture.key != name
        assert picture.key[:-1] == name[:-1]
