from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest
import torch

from caslie_model.errors import ModelError
from caslie_model.vision import VisionEncoder, load_vision_encoder, open_feature_cache
from caslie_model.vision.feature_cache import FeatureCache

PATCHES, WIDTH = 4, 8


def keys_of(*numbers: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers]


def features_of(*numbers: int) -> torch.Tensor:
    """Return features that tell which image they are of."""
    rows = []
    for number in numbers:
        generator = torch.Generator().manual_seed(number)
        rows.append(torch.randn(PATCHES, WIDTH, generator=generator) + number)
    return torch.stack(rows)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    """Two shards: images 0, 1 and 2, and images 3 and 4."""
    cache = FeatureCache(tmp_path / "features" / "encoder")
    cache.append(keys_of(0, 1, 2), features_of(0, 1, 2))
    cache.append(keys_of(3, 4), features_of(3, 4))
    return cache


def shards(cache: FeatureCache) -> list[Path]:
    return sorted(cache.folder.glob("*.safetensors"), key=lambda path: path.stat().st_size)


def test_features_come_back_in_the_order_that_is_asked_for(cache: FeatureCache) -> None:
    wanted = (4, 0, 3, 0)
    given = cache.features(keys_of(*wanted))
    assert given.dtype == torch.float32
    torch.testing.assert_close(given, features_of(*wanted), atol=0, rtol=2**-11)
    assert cache.features(keys_of(1), torch.bfloat16).dtype == torch.bfloat16
    assert cache.features([]).shape == (0, PATCHES, WIDTH)


def test_missing_images_are_listed_once_in_their_order(cache: FeatureCache) -> None:
    five, zero, nine = keys_of(5, 0, 9)
    assert cache.missing([nine, zero, five, nine]) == [nine, five]
    assert zero in cache
    assert len(cache) == 5
    with pytest.raises(ModelError, match=f"no features of image {five}.*caslie_model features"):
        cache.features([zero, five])


def test_a_folder_that_is_not_there_yet_is_an_empty_cache(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "none")
    assert (len(cache), cache.shape) == (0, None)
    assert cache.missing(keys_of(1)) == keys_of(1)
    assert cache.features([]).shape[0] == 0
    assert not (tmp_path / "none").exists()


def test_another_process_reads_the_same_features(cache: FeatureCache) -> None:
    expected = cache.features(keys_of(2, 3))
    for other in (FeatureCache(cache.folder), pickle.loads(pickle.dumps(cache))):  # noqa: S301
        assert torch.equal(other.features(keys_of(2, 3)), expected)
        assert other.shape == (PATCHES, WIDTH)


def test_files_of_other_processes_are_read_after_a_refresh(cache: FeatureCache) -> None:
    other = FeatureCache(cache.folder)
    cache.append(keys_of(7), features_of(7))
    assert other.missing(keys_of(7)) == keys_of(7)
    other.refresh()
    assert other.missing(keys_of(7)) == []


def test_a_image_that_two_processes_computed_is_read_once(cache: FeatureCache) -> None:
    cache.append(keys_of(0, 8), features_of(0, 8))
    assert len(FeatureCache(cache.folder)) == 6


def test_a_writer_removes_files_of_killed_writers(cache: FeatureCache) -> None:
    leftover = cache.folder / ".0123.safetensors.tmp"
    leftover.write_bytes(b"half of it")
    assert len(FeatureCache(cache.folder)) == 5
    with cache.writing():
        assert not leftover.exists()
    assert len(shards(cache)) == 2


def test_damaged_features_are_found_when_they_are_read(cache: FeatureCache) -> None:
    path = shards(cache)[0]
    content = bytearray(path.read_bytes())
    offset = content.index(features_of(4).half().numpy().tobytes())
    content[offset + 5] ^= 1
    path.write_bytes(content)
    damaged = FeatureCache(cache.folder)
    damaged.features(keys_of(0, 1, 2, 3))
    with pytest.raises(ModelError, match=rf"{path.name} is damaged: .*image 1.*delete it"):
        damaged.features(keys_of(4))
    path.unlink()
    assert FeatureCache(cache.folder).missing(keys_of(0, 3, 4)) == keys_of(3, 4)


@pytest.mark.parametrize("length", [0, 7, 200, -1, -20])
def test_a_truncated_tensor_file_is_found_at_once(cache: FeatureCache, length: int) -> None:
    path = shards(cache)[0]
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(
        ModelError, match=rf"{path.name} is damaged: .*delete it, and `caslie_model features`"
    ):
        FeatureCache(cache.folder)


def test_a_damaged_index_is_found_at_once(cache: FeatureCache) -> None:
    path = shards(cache)[0]
    content = bytearray(path.read_bytes())
    content[content.index(bytes.fromhex(keys_of(3)[0])) + 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(ModelError, match="its index does not have the checksum"):
        FeatureCache(cache.folder)


def test_a_tensor_file_of_another_encoder_is_an_error(cache: FeatureCache) -> None:
    other = FeatureCache(cache.folder.with_name("other"))
    other.folder.mkdir()
    (other.folder / "strayed.safetensors").write_bytes(shards(cache)[0].read_bytes())
    with pytest.raises(ModelError, match=r"strayed\.safetensors is damaged: it is of another encoder"):
        other.refresh()


def test_features_of_another_shape_are_an_error(cache: FeatureCache) -> None:
    with pytest.raises(ModelError, match=r"features of \(4, 9\) do not fit in, the cache has \(4, 8\)"):
        cache.append(keys_of(9), torch.zeros(1, PATCHES, WIDTH + 1))
    assert len(shards(cache)) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_values_beyond_float16_are_an_error(cache: FeatureCache, value: float) -> None:
    with pytest.raises(ModelError, match="beyond float16"):
        cache.append(keys_of(9), torch.full((1, PATCHES, WIDTH), value))
    assert len(shards(cache)) == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = FeatureCache(tmp_path / "file" / "encoder")
    with pytest.raises(ModelError, match="CASLIE_MODEL_CACHE"):
        cache.append(keys_of(1), features_of(1))
    with pytest.raises(ModelError, match="CASLIE_MODEL_CACHE"), cache.writing():
        pass


def test_encoders_have_caches_of_their_own(tiny: VisionEncoder, tmp_path: Path) -> None:
    pooled = load_vision_encoder("random:tiny-vit", pool=2)
    first, second = (open_feature_cache(encoder, tmp_path) for encoder in (tiny, pooled))
    first.append(keys_of(1), features_of(1))
    assert first.folder == tmp_path / "features" / tiny.fingerprint
    second.refresh()
    assert second.missing(keys_of(1)) == keys_of(1)


def test_the_shape_is_known_before_the_first_image(tiny: VisionEncoder, tmp_path: Path) -> None:
    cache = open_feature_cache(tiny, tmp_path)
    cache.describe(tiny)
    again = FeatureCache(cache.folder)
    assert again.shape == (49, 32)
    assert again.features([]).shape == (0, 49, 32)
    (cache.folder / "encoder.json").write_text("{")
    with pytest.raises(ModelError, match=r"encoder\.json is damaged.*delete it"):
        FeatureCache(cache.folder)
