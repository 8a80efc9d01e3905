"""An adapter goes on the base model that it was trained on, wherever that is now, and on no other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import caslie_model
from caslie_model.adapters.loading import load_for_evaluation
from caslie_model.adapters.merge import merge
from caslie_model.backbones.language_model import load_base_model
from caslie_model.config.presets import evaluate_config
from caslie_model.errors import ConfigError, ModelError
from caslie_model.evaluation.evaluate import evaluate
from caslie_model.training.finetune import finetune
from mmecinstruct.core.hashing import fingerprint
from tests.caslie_model.adapters.conftest import Settings

Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def trained(
    dataset: Path,
    make_base: Callable[..., Path],
    config: Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with a base model and a text adapter that names it by its path."""
    folder = tmp_path_factory.mktemp("trained")
    make_base(folder / "base", tied=False)
    finetune(config(dataset, folder / "adapter", f"base_model={folder / 'base'}"))
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A copy that may be changed; its adapter names the base model of the copy."""
    folder = shutil.copytree(trained, tmp_path / "copied")
    for name in ("config.yaml", "training.json", "adapter_config.json"):
        file = folder / "adapter" / name
        file.write_text(file.read_text().replace(str(trained), str(folder)))
    return folder


def other_weights(base: Path) -> None:
    loaded = load_base_model(str(base))
    for weight in loaded.model.parameters():
        weight.data.mul_(1.3)
    loaded.model.save_pretrained(base)


def other_tokenizer(base: Path) -> None:
    content = json.loads((base / "tokenizer.json").read_text())
    content["model"]["vocab"] = {
        token: (number % 256) + 1 if number else 0 for token, number in content["model"]["vocab"].items()
    }
    (base / "tokenizer.json").write_text(json.dumps(content))


def other_template(base: Path) -> None:
    (base / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")


def asked(model: Path, data: Path, out: Path, **fields: Any) -> Any:
    settings = {"tasks": ["sa"], "splits": ("test",), "limit": 2, "device": "cpu", **fields}
    return evaluate_config(model=str(model), data=str(data), out=out, **settings)


@pytest.mark.parametrize("change", [other_weights, other_tokenizer, other_template])
def test_a_changed_base_is_refused_with_both_fingerprints(
    copied: Path, dataset: Path, tmp_path: Path, change: Change
) -> None:
    adapter, base = copied / "adapter", copied / "base"
    before = load_base_model(str(base)).fingerprint
    change(base)
    after = load_base_model(str(base)).fingerprint
    message = (
        f"was trained on another base model: .* had the fingerprint {before[:16]}, and .* has {after[:16]} "
        r"\(weights, tokenizer or chat template differ\); name a place of the same base model with --base"
    )
    with pytest.raises(ModelError, match=message):
        evaluate(asked(adapter, dataset, tmp_path / "e"))
    with pytest.raises(ModelError, match=message):
        evaluate(asked(adapter, dataset, tmp_path / "e", base_only=True))
    with pytest.raises(ModelError, match=message):
        merge(adapter, tmp_path / "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"copied"}


@pytest.mark.parametrize("change", [other_weights, other_template])
def test_any_base_evaluates_all_the_same_and_records_it(
    copied: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Change
) -> None:
    before = load_base_model(str(copied / "base")).fingerprint
    own = evaluate(asked(copied / "adapter", dataset, tmp_path / "own", any_base=True)).metrics["provenance"]
    assert "trained_on_fingerprint" not in own
    change(copied / "base")
    after = load_base_model(str(copied / "base")).fingerprint
    result = evaluate(asked(copied / "adapter", dataset, tmp_path / "e", any_base=True))
    provenance = result.metrics["provenance"]
    assert (provenance["trained_on_fingerprint"], provenance["base_fingerprint"]) == (before, after)
    assert "warning: " in capsys.readouterr().err
    assert "trained on another base model" in (result.folder / "metrics.md").read_text()


def test_a_moved_base_is_named_with_base(copied: Path, dataset: Path, tmp_path: Path) -> None:
    adapter = copied / "adapter"
    first = evaluate(asked(adapter, dataset, tmp_path / "e")).metrics
    moved = shutil.move(copied / "base", tmp_path / "moved")
    with pytest.raises(
        ModelError, match=r"no base model .*if it is elsewhere now, name the place with --base"
    ):
        evaluate(asked(adapter, dataset, tmp_path / "e"))
    with pytest.raises(ModelError, match="name the place with --base"):
        merge(adapter, tmp_path / "whole")
    # The same evaluation goes on: its base model is the same.
    again = evaluate(asked(adapter, dataset, tmp_path / "e", base=str(moved))).metrics
    assert again == first
    assert caslie_model.merge(adapter, tmp_path / "whole", base=moved).deviation < 1e-3
    result = caslie_model.evaluate(
        adapter, dataset, tmp_path / "f", base=moved, tasks="sa", splits="test", limit=2, device="cpu"
    )
    assert result.metrics["results"] == first["results"]


def test_another_base_by_option_is_refused(copied: Path, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"was trained on another base model: .*, and random:tiny has"):
        load_for_evaluation(asked(copied / "adapter", dataset, tmp_path, base="random:tiny"))
    with pytest.raises(ModelError, match="was trained on another base model"):
        merge(copied / "adapter", tmp_path / "whole", place="random:tiny")
    with pytest.raises(ConfigError, match="--base goes with an adapter, and random:tiny is none"):
        load_for_evaluation(
            asked(Path("random:tiny"), dataset, tmp_path, base=str(copied / "base"), base_only=True)
        )


@pytest.mark.parametrize("recorded", ["base_identity", None])
def test_an_older_record_is_read_and_a_missing_one_is_told(
    copied: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], recorded: str | None
) -> None:
    file = copied / "adapter" / "training.json"
    summary = json.loads(file.read_text())
    fingerprint = summary.pop("base_fingerprint")
    file.write_text(json.dumps({**summary, **({recorded: fingerprint} if recorded else {})}))
    other_weights(copied / "base")
    if recorded:
        with pytest.raises(ModelError, match="was trained on another base model"):
            load_for_evaluation(asked(copied / "adapter", dataset, tmp_path))
        return
    load_for_evaluation(asked(copied / "adapter", dataset, tmp_path))
    said = [line for line in capsys.readouterr().err.splitlines() if "fingerprint" in line]
    assert said == [
        f"{copied / 'adapter'} does not record the fingerprint of its base model: {copied / 'base'} is not checked"
    ]


@pytest.mark.parametrize("content", ["{", "[1]", "[" * 100_000, '{"base_fingerprint": 5}'])
def test_a_damaged_record_does_not_switch_the_check_off(
    trained: Path, dataset: Path, tmp_path: Path, content: str
) -> None:
    adapter = shutil.copytree(trained / "adapter", tmp_path / "adapter")
    (adapter / "training.json").write_text(content)
    with pytest.raises(
        ModelError, match=rf"{adapter / 'training.json'} is damaged \(.*train again, or copy it"
    ):
        load_for_evaluation(asked(adapter, dataset, tmp_path, base="random:tiny"))


def test_a_run_is_resumed_on_a_moved_base(
    copied: Path, dataset: Path, tmp_path: Path, config: Settings, train_until_killed: Callable[[Any], None]
) -> None:
    settings = ("checkpoint_every=2", "batch_size=2", "log_every=1")
    train_until_killed(config(dataset, tmp_path / "a", *settings, f"base_model={copied / 'base'}"))
    moved = shutil.move(copied / "base", tmp_path / "moved")
    again = config(dataset, tmp_path / "a", *settings, f"base_model={moved}")
    assert finetune(again, resume=True).summary["resumed_at_step"] == 4
    # What is finished is not taken for a run on another one.
    from caslie_model.errors import RunError

    with pytest.raises(RunError, match="base_model differ"):
        finetune(again.model_copy(update={"base_model": "random:tiny"}), resume=True)


def test_a_merged_model_is_evaluated_as_its_adapter(trained: Path, dataset: Path, tmp_path: Path) -> None:
    merge(trained / "adapter", tmp_path / "whole")
    settings = {"scoring": "likelihood", "limit": 6}
    found = [
        evaluate(asked(model, dataset, tmp_path / f"e-{model.name}", **settings)).metrics["results"]
        for model in (trained / "adapter", tmp_path / "whole")
    ]
    assert found[0] == found[1]
    with pytest.raises(ConfigError, match="is a merged model, which has no base model: leave out --base"):
        evaluate(asked(tmp_path / "whole", dataset, tmp_path / "e", base="random:tiny"))
    (tmp_path / "whole" / "config.yaml").unlink()
    with pytest.raises(ModelError, match=r"is a whole model without the settings of its training"):
        evaluate(asked(tmp_path / "whole", dataset, tmp_path / "e"))
    evaluate(asked(tmp_path / "whole", dataset, tmp_path / "e", base_only=True))


@pytest.mark.parametrize("fusion", ["xattn", "concat"])
def test_a_merged_fusion_model_is_evaluated_as_its_adapter(
    image_dataset: Path, tmp_path: Path, image_config: Settings, fusion: str
) -> None:
    adapter = finetune(image_config(image_dataset, tmp_path / "adapter", f"fusion={fusion}")).folder
    merge(adapter, tmp_path / "whole")
    settings = {"scoring": "likelihood", "limit": None, "tasks": ["cc"]}
    found = [
        evaluate(asked(model, image_dataset, tmp_path / f"e-{model.name}", **settings)).metrics
        for model in (adapter, tmp_path / "whole")
    ]
    assert found[0]["results"] == found[1]["results"]
    assert found[0]["provenance"]["vision"] == found[1]["provenance"]["vision"]
    with pytest.raises(
        ConfigError, match="is a merged image-text model, and --base-only would ask it without"
    ):
        evaluate(asked(tmp_path / "whole", image_dataset, tmp_path / "bare", base_only=True, tasks=["cc"]))


@pytest.fixture
def on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, str], None]:
    """Puts a model into the Hub's cache on disk as shop/base, and makes it the newest there."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def put(model: Path, commit: str) -> None:
        kept = tmp_path / "hub" / "models--shop--base"
        shutil.copytree(model, kept / "snapshots" / (commit * 40))
        (kept / "refs").mkdir(exist_ok=True)
        (kept / "refs" / "main").write_text(commit * 40)

    return put


def test_a_base_on_the_hub_is_known_by_its_content(
    copied: Path, dataset: Path, tmp_path: Path, on_the_hub: Callable[[Path, str], None]
) -> None:
    adapter, base = copied / "adapter", copied / "base"
    on_the_hub(base, "a")
    assert load_base_model("shop/base").fingerprint == load_base_model(str(base)).fingerprint
    load_for_evaluation(asked(adapter, dataset, tmp_path, base="shop/base"))
    # What transformers does not read is in no cache, or comes there later.
    (base / "README.md").write_text("new")
    (base / "tokenizer.model").write_text("the same in another format")
    (base / "consolidated.safetensors").write_text("the same in another format")
    on_the_hub(base, "b")
    load_for_evaluation(asked(adapter, dataset, tmp_path, base="shop/base"))
    load_for_evaluation(asked(adapter, dataset, tmp_path, base=str(base)))
    (base / "consolidated.safetensors").unlink()
    other_weights(base)
    on_the_hub(base, "c")
    with pytest.raises(ModelError, match="was trained on another base model"):
        load_for_evaluation(asked(adapter, dataset, tmp_path, base="shop/base"))


@pytest.mark.parametrize("fusion", ["text", "xattn"])
def test_a_record_without_content_is_told(
    image_dataset: Path,
    make_base: Callable[..., Path],
    image_config: Settings,
    tmp_path: Path,
    on_the_hub: Callable[[Path, str], None],
    capsys: pytest.CaptureFixture[str],
    fusion: str,
) -> None:
    """Earlier versions recorded a fingerprint of the name alone, of a base model on the Hub."""
    on_the_hub(make_base(tmp_path / "base", tied=False), "a")
    adapter = finetune(
        image_config(image_dataset, tmp_path / "adapter", "base_model=shop/base", f"fusion={fusion}")
    ).folder
    before = load_base_model("shop/base").fingerprint
    earlier = fingerprint({"name": "shop/base", "commit": None})
    for file in adapter.glob("*.json"):
        file.write_text(file.read_text().replace(before, earlier))
    assert earlier in (adapter / "training.json").read_text()
    loaded = load_for_evaluation(asked(adapter, image_dataset, tmp_path))
    assert "trained_on_fingerprint" not in loaded.provenance
    said = [line for line in capsys.readouterr().err.splitlines() if "fingerprint" in line]
    assert said == [f"{adapter} does not record the fingerprint of its base model: shop/base is not checked"]
