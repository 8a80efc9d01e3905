"""Asking a dataset: what is written, what is asked again, and what does not change answers."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

import caslie_model
from caslie_model.adapters.model_kind import _kind_on_hub, model_kind
from caslie_model.backbones.language_model import locate
from caslie_model.config.presets import predict_config
from caslie_model.errors import ConfigError, ModelError, RunError
from caslie_model.inference.local_predictor import LocalPredictor
from caslie_model.inference.prediction_log import HEADER, PREDICTIONS, open_part, open_predictions
from caslie_model.inference.run import Answers, predict
from caslie_model.inference.select_samples import target_fingerprint
from mmecinstruct.core.errors import DatasetError
from tests.servers.chat_server import Canned, ChatServer, completion

ROOT = Path(__file__).parents[3]
TASKS = ("sentiment_analysis", "answerability_prediction")


def ask(dataset: Path, out: Path, overwrite: bool = False, **fields: Any) -> Answers:
    asked = {"model": "tiny", "limit": 4, "tasks": ["sa", "ap"], "device": "cpu", **fields}
    return predict(predict_config(data=str(dataset), out=out, **asked), overwrite)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / PREDICTIONS).read_text().splitlines()]


def by_key(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = {(line["id"], line["variant"]): line for line in lines(folder)}
    assert len(found) == len(lines(folder))
    return found


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """Collect the keys of all questions that a model is asked."""
    asked: list[tuple[str, str]] = []
    answer = LocalPredictor.answer

    def counting(self: LocalPredictor, prepared: Any) -> Any:
        asked.extend(each.question.key for each in prepared)
        return answer(self, prepared)

    with monkeypatch.context() as patch:
        patch.setattr(LocalPredictor, "answer", counting)
        yield asked


def test_predictions_alone_are_written_and_evaluate_scores_them(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ask(dataset, tmp_path)
    assert (answers.questions, len(answers.records), answers.missing) == (16, 16, 0)
    assert {path.name for path in tmp_path.iterdir()} == {PREDICTIONS, HEADER, "config.yaml", ".made-by.json"}
    samples = {sample.id: sample for sample in answers.samples}
    for record in lines(tmp_path):
        sample = samples[record["id"]]
        assert (record["task"], record["split"], record["variant"]) == (sample.task, sample.split, "")
        assert record["target"] == target_fingerprint(sample)
        assert len(record["prompt"]) == 16
    with counted(monkeypatch) as asked:
        result = caslie_model.evaluate("tiny", dataset, tmp_path, limit=4, tasks=["sa", "ap"], device="cpu")
    assert asked == []
    assert sum(part["samples"] for part in result.metrics["results"] if part["part"] == "all") == 16
    # The settings of the metrics stay beside them.
    scored = (tmp_path / "config.yaml").read_text()
    ask(dataset, tmp_path, limit=5)
    assert (tmp_path / "config.yaml").read_text() == scored


def test_answers_in_another_order_are_those_of_the_published_labels(dataset: Path, tmp_path: Path) -> None:
    ask(dataset, tmp_path, scoring="likelihood", permute_options=2)
    found = by_key(tmp_path)
    assert len(found) == 16 + 8 * 2
    for (name, variant), record in found.items():
        if not variant:
            assert "order" not in record
            continue
        published = found[name, ""]
        place = "ABCDE".index(record["asked"])
        assert record["prediction"] == record["order"][place]
        assert record["target"] == published["target"]
        assert record["prompt"] != published["prompt"]
        assert sorted(record["scores"]) == list("ABCDE")
        assert record["prediction"] == max(record["scores"], key=record["scores"].__getitem__)


def test_variants_are_added_to_what_is_answered(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(dataset, tmp_path)
    before = (tmp_path / PREDICTIONS).read_text()
    with counted(monkeypatch) as asked:
        answers = ask(dataset, tmp_path, instruction="both", permute_options=1)
    assert (tmp_path / PREDICTIONS).read_text().startswith(before)
    assert len(asked) == answers.questions - 16 == 16 + 8
    assert all(variant for _, variant in asked)
    assert len(ask(dataset, tmp_path).records) == 16


def test_images_effect_asks_image_models_in_three_ways(image_dataset: Path, tmp_path: Path) -> None:
    from caslie_model.config.presets import finetune_config
    from caslie_model.training.finetune import finetune

    settings = ("fusion=xattn", "tasks=[cc]", "samples_per_task=4", "device=cpu", "connector.gate_init=1")
    adapter = finetune(finetune_config("tiny", settings, data=str(image_dataset), out=tmp_path / "a"))
    asked = {"model": str(adapter.folder), "tasks": ["cc"], "splits": ("test",), "limit": None}
    ask(image_dataset, tmp_path / "all", images_effect=True, scoring="likelihood", **asked)
    found = by_key(tmp_path / "all")
    ask(image_dataset, tmp_path / "few", images_effect=True, scoring="likelihood", **{**asked, "limit": 2})
    ask(image_dataset, tmp_path / "few", images_effect=True, scoring="likelihood", **asked)
    assert by_key(tmp_path / "few") == found
    for images in ("none", "shuffled"):
        ask(image_dataset, tmp_path / images, images=images, scoring="likelihood", **asked)
        for (name, variant), record in found.items():
            if variant == f"images {images}":
                alone = by_key(tmp_path / images)[name, ""]
                assert (record["prompt"], record["scores"]) == (alone["prompt"], alone["scores"])
    # Every fourth sample shows none.
    assert [sum(variant == each for _, variant in found) for each in ("", "images none")] == [6, 5]


def test_batch_size_and_order_of_rows_change_nothing(
    row: Callable[..., dict[str, Any]], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [row(number, task, "test") for task in TASKS for number in range(2000, 2012)]
    rows += [row(number, task, "train") for task in TASKS for number in range(12)]
    data = [write_rows(tmp_path / "data", rows), write_rows(tmp_path / "turned", rows[::-1])]
    asked: dict[str, Any] = {"limit": None, "permute_options": 1, "shots": 1, "splits": ("test",)}
    found = []
    for number, (folder, size) in enumerate(((data[0], 8), (data[0], 1), (data[1], 5))):
        out = tmp_path / str(number)
        ask(folder, out, batch_size=size, scoring="generate", **asked)
        found.append(by_key(out))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.slow
def test_a_stopped_run_asks_nothing_twice(how: signal.Signals, dataset: Path, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from caslie_model.inference.prediction_log import PredictionFile\n"
        "append, times = PredictionFile.append, []\n"
        "def stop(self, records):\n"
        "    append(self, records)\n"
        "    times.append(1)\n"
        "    if len(times) == 3:\n"
        f"        os.kill(os.getpid(), {int(how)})\n"
        "PredictionFile.append = stop\n"
        "from caslie_model.cli.app import main\n"
        "main()\n"
    )
    command = (
        *("predict", "--model", "tiny", "--data", str(dataset), "--tasks", "sa", "--limit", "4"),
        *("--set", "device=cpu", "--batch-size", "1", "--permute-options", "1"),
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    stopped = subprocess.run(
        [sys.executable, "-c", script, *command, "--out", str(tmp_path / "cut")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert stopped.returncode == (130 if how == signal.SIGINT else -how), stopped.stderr
    if how == signal.SIGINT:
        assert "what was answered is kept, and the same command goes on" in stopped.stderr
    assert len(lines(tmp_path / "cut")) == 3
    kept = (tmp_path / "cut" / PREDICTIONS).read_text()
    asked: dict[str, Any] = {"tasks": ["sa"], "batch_size": 1, "permute_options": 1}
    ask(dataset, tmp_path / "cut", **asked)
    ask(dataset, tmp_path / "whole", **asked)
    assert (tmp_path / "cut" / PREDICTIONS).read_text().startswith(kept)
    assert (tmp_path / "cut" / PREDICTIONS).read_bytes() == (tmp_path / "whole" / PREDICTIONS).read_bytes()


def test_questions_without_an_answer_are_counted_and_asked_again(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = LocalPredictor.answer

    def forgetful(self: LocalPredictor, prepared: Any) -> Any:
        for group in answer(self, prepared):
            yield group[1:]

    with monkeypatch.context() as patch:
        patch.setattr(LocalPredictor, "answer", forgetful)
        answers = ask(dataset, tmp_path)
    assert answers.missing == 2
    assert "2 of 16 questions have no answer; run the same again" in capsys.readouterr().err
    with counted(monkeypatch) as asked:
        assert ask(dataset, tmp_path).missing == 0
    assert len(asked) == 2


def test_rows_of_earlier_versions_are_read(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(dataset, tmp_path)
    old = [
        {name: value for name, value in line.items() if name not in ("variant", "target")}
        for line in lines(tmp_path)
    ]
    (tmp_path / PREDICTIONS).write_text("".join(json.dumps(line) + "\n" for line in old))
    header = json.loads((tmp_path / HEADER).read_text())
    fingerprints = header.pop("data")
    assert set(fingerprints) == {f"{task}/{split}" for task in TASKS for split in ("test", "test_ood")}
    (tmp_path / HEADER).write_text(json.dumps(header))
    with counted(monkeypatch) as asked:
        assert len(ask(dataset, tmp_path).records) == 16
    assert asked == []
    assert json.loads((tmp_path / HEADER).read_text())["data"] == fingerprints


def test_other_data_is_an_error_and_a_moved_folder_is_not(
    row: Callable[..., dict[str, Any]],
    write_rows: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [row(number, TASKS[0], "test") for number in range(4)]
    data, out = write_rows(tmp_path / "data", rows), tmp_path / "out"
    asked: dict[str, Any] = {"tasks": ["sa"], "splits": ("test",), "limit": 2}
    ask(data, out, **asked)
    moved = Path(shutil.copytree(data, tmp_path / "moved"))
    with counted(monkeypatch) as questions:
        ask(moved, out, **{**asked, "limit": 3})
    assert len(questions) == 1
    more = write_rows(tmp_path / "more", [*rows, row(9, TASKS[0], "test")])
    with pytest.raises(RunError, match=r"other data: the dataset changed \(sentiment_analysis/test\)"):
        ask(more, out, **asked)
    # The answers' own fingerprints tell what the header does not.
    answered = {line["id"] for line in lines(out)}
    turned = [{**each, "output": "C"} if each["id"] in answered else each for each in rows]
    header = json.loads((out / HEADER).read_text())
    del header["data"]
    (out / HEADER).write_text(json.dumps(header))
    with pytest.raises(RunError, match=r"answers another prompt for sample .*: the dataset changed"):
        ask(write_rows(tmp_path / "turned", turned), out, **asked)
    ask(data, out, **asked, permute_options=1)
    with pytest.raises(RunError, match=r"order 1\): the dataset changed, its captions, the seed"):
        ask(data, out, **{**asked, "limit": None}, permute_options=1, seed=5)


def test_a_full_disk_keeps_earlier_answers(dataset: Path, tmp_path: Path) -> None:
    ask(dataset, tmp_path, limit=1)
    file = tmp_path / PREDICTIONS
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 600, limits[1]))
    try:
        with pytest.raises(
            RunError, match="free some space and run the same again: earlier answers are kept"
        ):
            ask(dataset, tmp_path, batch_size=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    kept = file.read_bytes().rpartition(b"\n")[0].splitlines()
    assert len(kept) > 4
    ask(dataset, tmp_path)
    assert file.read_bytes().splitlines()[: len(kept)] == kept
    assert len(lines(tmp_path)) == 16


def test_a_second_process_on_the_same_folder_is_told(dataset: Path, tmp_path: Path) -> None:
    provenance = dict(ask(dataset, tmp_path).provenance)
    with (
        open_predictions(tmp_path, provenance, overwrite=False),
        pytest.raises(RunError, match="another run writes to"),
    ):
        ask(dataset, tmp_path)


def test_parts_of_processes_that_were_stopped_are_taken_over(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(dataset, tmp_path / "whole")
    ask(dataset, tmp_path / "cut")
    content = lines(tmp_path / "cut")
    (tmp_path / "cut" / PREDICTIONS).write_text("".join(json.dumps(line) + "\n" for line in content[:5]))
    with open_part(tmp_path / "cut", 2) as part:
        part.append(content[4:9])
        with pytest.raises(RunError, match="another run"):
            ask(dataset, tmp_path / "cut")
    with part.path.open("a") as torn:
        torn.write('{"id": "x')
    with counted(monkeypatch) as asked:
        ask(dataset, tmp_path / "cut")
    assert len(asked) == 16 - 9
    assert by_key(tmp_path / "cut") == by_key(tmp_path / "whole")
    assert not part.path.exists()
    with open_part(tmp_path / "cut", 1) as part:
        part.append(content[:1])
    ask(dataset, tmp_path / "cut", overwrite=True)
    assert len(lines(tmp_path / "cut")) == 16
    assert not part.path.exists()


def test_base_models_need_no_word(dataset: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(locate("random:tiny"), tmp_path / "base"))
    found = []
    for number, model in enumerate(("tiny", "random:tiny", str(folder))):
        for base_only in (False, True):
            out = tmp_path / f"{number} {base_only}"
            ask(dataset, out, limit=1, model=model, base_only=base_only)
            found.append(by_key(out))
    assert all(each == found[0] for each in found)


def test_the_form_of_a_name_decides_the_kind_of_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"llama": "language", "llava": "image-text", "qwen2_5_vl": "image-text", "caslie": "trained"}
    for model_type, kind in kinds.items():
        folder = tmp_path / model_type
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
        assert model_kind(str(folder)) == kind
        (folder / "config.yaml").write_text("")
        assert model_kind(str(folder)) == "trained"
    (tmp_path / "empty").mkdir()
    assert model_kind(str(tmp_path / "empty")) == "trained"
    for name in ("random:tiny", "package:x", "smollm2-135m", "my.yaml"):
        assert model_kind(name) == "language"
    # On the Hub: what the cache holds of it.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name, model_type in (("base", "llama"), ("eyes", "smolvlm")):
        kept, commit = tmp_path / "hub" / f"models--shop--{name}", "0" * 40
        (kept / "snapshots" / commit).mkdir(parents=True)
        (kept / "snapshots" / commit / "config.json").write_text(json.dumps({"model_type": model_type}))
        (kept / "refs").mkdir()
        (kept / "refs" / "main").write_text(commit)
        assert model_kind(f"shop/{name}") == ("language" if name == "base" else "image-text")
    (kept / "snapshots" / commit / "prompts").mkdir()
    (kept / "snapshots" / commit / "prompts" / "user.j2").touch()
    # A command asks once.
    assert model_kind("shop/eyes") == "image-text"
    _kind_on_hub.cache_clear()
    assert model_kind("shop/eyes") == "trained"
    with pytest.raises(ModelError, match="'shop/none' cannot be loaded"):
        model_kind("shop/none")


def test_the_commit_of_a_model_on_the_hub_is_in_its_provenance(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    kept, commit = tmp_path / "hub" / "models--shop--base", "1" * 40
    shutil.copytree(locate("random:tiny"), kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    answers = ask(dataset, tmp_path / "out", model="shop/base", limit=1)
    assert answers.provenance["revision"] == commit


def test_servers_and_local_models_take_their_own_settings(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give `server`, `write_batch` or `read_batch`"):
        ask(dataset, tmp_path, model="openai:m")
    with pytest.raises(ConfigError, match="server goes with a model of a server: give model=openai:tiny"):
        ask(dataset, tmp_path, server="http://127.0.0.1:1/v1")
    with pytest.raises(ConfigError, match="nothing to score: give it to `predict`"):
        caslie_model.evaluate("openai:m", dataset, tmp_path, write_batch="batch.jsonl")


def test_settings_of_a_run_read_back(dataset: Path, tmp_path: Path) -> None:
    ask(dataset, tmp_path, limit=1, permute_options=1)
    content = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert predict_config(**content) == predict_config(
        model="tiny",
        limit=1,
        tasks=["sa", "ap"],
        device="cpu",
        data=str(dataset),
        out=tmp_path,
        permute_options=1,
    )
    assert not any("key" in name and name != "api_key_env" for name in content)


def test_an_id_in_two_tasks_is_an_error(
    row: Callable[..., dict[str, Any]], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "data", [row(1, task, "test", id="the same") for task in TASKS])
    with pytest.raises(DatasetError, match="sample the same is in two splits or tasks"):
        ask(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_budget_covers_failed_questions_of_earlier_runs(
    row: Callable[..., dict[str, Any]], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "data", [row(number, TASKS[0], "test") for number in range(6)])
    cut_off = Canned(completion("", finish_reason="length"))
    asked: dict[str, Any] = {"model": "openai:tiny", "tasks": ["sa"], "splits": ("test",), "retries": 0}
    asked |= {"price_input": 1000, "price_output": 1000, "concurrency": 1, "limit": None}
    with ChatServer(lambda asked: cut_off) as server:
        for _ in range(2):
            # Nothing is answered, and settings may change; money stays spent.
            ask(data, tmp_path / "out", server=server.url, **asked)
            asked["request_seed"] = 1
        # Twelve requests cost 1.224.
        with pytest.raises(RunError, match=r"the budget of 1\.2 is spent: 1\.2240"):
            ask(data, tmp_path / "out", server=server.url, budget=1.2, **asked)
        assert len(server.asked) == 12
