"""The store of token sequences' states: what comes back, what a kill or a full disk leaves, what damage is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from caslie_model.errors import ModelError
from caslie_model.state_store import StateStore

PLENTY = 10**9


def states_of(tokens: list[int], dtype: torch.dtype = torch.float32) -> Tensor:
    drawn = torch.Generator().manual_seed(sum(tokens))
    return torch.randn(len(tokens), 6, generator=drawn).to(dtype)


SEQUENCES = ([3, 1, 2], [3, 1], [7] * 9, [1, 2, 3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_was_put_comes_back_to_the_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    store = StateStore(tmp_path / "states" / "model", PLENTY)
    for tokens in SEQUENCES:
        store.put(tokens, states_of(tokens, dtype))
    before = [store.get(tokens) for tokens in SEQUENCES]
    store.flush()
    for opened in (store, StateStore(store.folder, PLENTY)):
        assert len(opened) == 4
        for tokens, waiting in zip(SEQUENCES, before, strict=True):
            found = opened.get(tokens)
            assert found is not None
            assert waiting is not None
            assert found.dtype == dtype
            assert torch.equal(found, states_of(tokens, dtype))
            assert torch.equal(waiting, found)
        assert opened.get([3]) is None
        assert opened.get([2, 1, 3]) is None  # the same tokens in another order


def test_shards_are_written_when_they_are_large_enough(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "states" / "model", PLENTY, shard_bytes=2 * 9 * 6 * 4)
    counts = []
    for number in range(5):
        tokens = [number] * 9
        store.put(tokens, states_of(tokens))
        store.put(tokens, states_of(tokens))  # known already
        counts.append(len(list(store.folder.glob("*"))))
    assert counts == [0, 1, 1, 2, 2]
    assert len(StateStore(store.folder, PLENTY)) == 4
    assert len(store) == 5


def test_what_another_process_wrote_is_taken_in(tmp_path: Path) -> None:
    ours, theirs = (StateStore(tmp_path / "states" / "model", PLENTY) for _ in range(2))
    for store, tokens in ((ours, [1, 2]), (theirs, [3, 4]), (ours, [5]), (theirs, [5])):
        store.put(tokens, states_of(tokens))
    ours.flush()
    theirs.flush()
    assert ours.get([3, 4]) is None
    ours.refresh()
    found = ours.get([3, 4])
    assert found is not None
    assert torch.equal(found, states_of([3, 4]))
    assert len(ours) == 3


def test_the_limit_counts_what_all_models_keep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = StateStore(tmp_path / "states" / "other", PLENTY)
    other.put([1] * 100, states_of([1] * 100))
    other.flush()
    size = sum(path.stat().st_size for path in other.folder.glob("*"))
    store = StateStore(tmp_path / "states" / "model", size + 400)
    store.put([2] * 10, states_of([2] * 10))
    store.flush()
    kept = StateStore(store.folder, PLENTY)
    assert kept.get([2] * 10) is not None
    for number in (3, 4):
        store.put([number] * 10, states_of([number] * 10))
        store.flush()
    told = capsys.readouterr().err
    assert told.count("lower_layers_gigabytes") == 1
    assert "delete folders" in told
    assert store.get([3] * 10) is None
    assert store.get([2] * 10) is not None
    assert len(list(store.folder.glob("*"))) == 1


def test_a_folder_that_cannot_be_written_is_told_and_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "states").write_text("a file where the folder should be")
    store = StateStore(tmp_path / "states" / "model", PLENTY)
    store.put([1, 2], states_of([1, 2]))
    store.flush()
    assert "set CASLIE_MODEL_CACHE" in capsys.readouterr().err
    assert store.get([1, 2]) is None


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "states" / "model"
    folder.mkdir(parents=True)
    old, new = folder / ".old.safetensors.tmp", folder / ".new.safetensors.tmp"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert len(StateStore(folder, PLENTY)) == 0
    assert list(folder.iterdir()) == [new]  # another process may be writing it


def test_damage_is_found_and_named(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "states" / "model", PLENTY)
    store.put([1, 2], states_of([1, 2]))
    store.flush()
    (path,) = store.folder.glob("*")
    whole = bytearray(path.read_bytes())
    raw = states_of([1, 2]).numpy().tobytes()
    for wanted, flipped in (("do not have their checksum", raw[:8]), ("its index does not", b"")):
        damaged = bytearray(whole)
        place = damaged.find(flipped) if flipped else damaged.find((2).to_bytes(8, "little"), 400)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=wanted):
            StateStore(store.folder, PLENTY).get([1, 2])
    path.write_bytes(whole[:100])
    with pytest.raises(ModelError, match="delete it: its states are computed again"):
        StateStore(store.folder, PLENTY)
    path.write_bytes(whole)
    path.rename(tmp_path / path.name)
    (tmp_path / "states" / "another").mkdir()
    (tmp_path / path.name).rename(tmp_path / "states" / "another" / path.name)
    with pytest.raises(ModelError, match="of another model"):
        StateStore(tmp_path / "states" / "another", PLENTY)
