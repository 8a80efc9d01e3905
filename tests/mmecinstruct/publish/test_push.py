"""Push a dataset folder to a stand-in for the Hub and load it again, over real HTTP.

The client runs in a process of its own: huggingface_hub reads its environment once, at import.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mmecinstruct
from mmecinstruct.core.errors import DatasetError, HubError
from mmecinstruct.dataset import read_manifest
from mmecinstruct.dataset.shards import find_shards, parse_shard_path
from mmecinstruct.publish.push import push_folder
from mmecinstruct.schemas.captions import captions_path
from mmecinstruct.tasks import TASKS
from tests.mmecinstruct.dataset.test_captions import caption_rows
from tests.mmecinstruct.dataset.test_captions import write as write_captions
from tests.servers import hub_server

OOD_TASKS = [name for name, task in TASKS.items() if task.has_ood]
TOKEN = "hf_right_token"

# Answers one JSON line on stdin with one on stdout.
CLIENT = """
import json, os, sys
from pathlib import Path
from mmecinstruct.core.errors import MmecError
from mmecinstruct.publish.push import push_folder

def push(folder, **arguments):
    try:
        result = push_folder(Path(folder), **arguments)
    except MmecError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {**vars(result), "text": str(result)}

def load(repo, tasks):
    from datasets import load_dataset
    rows = {}
    for streaming in (False, True):
        for task in tasks:
            for split, loaded in load_dataset(repo, task, streaming=streaming).items():
                found = [[row["id"], [image.size for image in row["images"]]] for row in loaded]
                assert rows.setdefault(f"{task}/{split}", found) == found
    return rows

for line in sys.stdin:
    call = json.loads(line)
    os.environ["HF_TOKEN"] = call.pop("environment_token")
    print(json.dumps({"push": push, "load": load}[call.pop("call")](**call)), flush=True)
"""


class Client:
    """A process with an environment, a home and a cache of its own."""

    def __init__(self, url: str, home: Path, **environment: str) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        self.errors = (home / "stderr").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT],
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={
                **clean,
                "HF_ENDPOINT": url,
                "HF_HOME": str(home),
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "PYTHONPATH": str(Path(mmecinstruct.__file__).parents[1]),
                "NO_PROXY": "127.0.0.1,localhost",
                **environment,
            },
        )

    def call(self, **call: Any) -> Any:
        """Send one call to the process; return its answer."""
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps(call), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        self.errors.seek(0)
        errors = self.errors.read()
        assert line, errors
        assert TOKEN not in line + errors
        return json.loads(line)

    def push(self, folder: Path, repo: str, environment_token: str = TOKEN, **changes: Any) -> Any:
        """Push a folder."""
        arguments = {"private": False, "dry_run": False, "decode": False, **changes}
        return self.call(
            call="push", folder=str(folder), repo=repo, environment_token=environment_token, **arguments
        )

    def load(self, repo: str, *tasks: str) -> Any:
        """Load tasks of a repository, whole and streamed."""
        return self.call(call="load", repo=repo, tasks=tasks, environment_token=TOKEN)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.errors.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Yield a local server as the Hub with one user, `shopkeeper`, and a client of it."""
    with hub_server.running_hub({TOKEN: "shopkeeper", "hf_read_only": None}) as server:
        client = Client(server.url, tmp_path_factory.mktemp("home"))
        yield server, client
        client.close()


@pytest.fixture
def hub(running):
    """Return the local server as the Hub, without repositories."""
    running[0].reset()
    return running[0]


@pytest.fixture
def client(running):
    """Return the client."""
    return running[1]


@pytest.fixture
def repo(request):
    """Return a name of its own for each test: clients cache the content of a repository."""
    return f"shopkeeper/mugs-{hashlib.md5(request.node.name.encode()).hexdigest()[:8]}"


def content_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_pushed_folder_is_on_the_hub_unchanged(hub, client, repo, own_folder):
    (own_folder / "notes.txt").write_text("not part of the dataset")
    done = client.push(own_folder, repo)
    expected = content_of(own_folder)
    del expected["notes.txt"]
    assert hub.files(repo) == expected
    assert not hub.repositories[repo].private
    assert done["url"].endswith(f"/datasets/{repo}")
    assert done["commit"] == hub.repositories[repo].branches["main"]
    assert sorted(done["uploaded"]) == sorted(expected)
    assert hub.repositories[repo].messages[1:] == ["Release small ffffffffffff"]


def test_pushed_dataset_loads_and_streams(small, hub, client, repo, sound_folder):
    client.push(sound_folder, repo)
    rows = client.load(repo, *TASKS, "all")
    for task, split in small.tasks_and_splits:
        wanted = [[row["id"], [[48, 40]] * len(row["images"])] for row in with_images(small, task, split)]
        assert rows[f"{task}/{split}"] == wanted
    assert sum(len(found) for key, found in rows.items() if key.startswith("all/")) == 66
    assert {key.split("/")[0] for key in rows if key.endswith("/test_ood")} == {*OOD_TASKS, "all"}


def test_captions_go_with_the_dataset_and_load_as_no_data(hub, client, repo, own_folder):
    for shard in find_shards(own_folder):
        task, split, _, _ = parse_shard_path(shard)
        write_captions(own_folder, captions_path("tiny", task, split), caption_rows(own_folder, shard))
    (own_folder / "captions" / "tiny" / "log.jsonl").write_text("{}\n")
    client.push(own_folder, repo)
    sent = {path for path in hub.files(repo) if path.startswith("captions/")}
    assert len(sent) == len(list(own_folder.glob("captions/*/*.parquet"))) > 7
    rows = client.load(repo, "all")
    assert sum(len(found) for found in rows.values()) == 66
    # Captions of an earlier release would be of other samples.
    shutil.rmtree(own_folder / "captions")
    assert set(client.push(own_folder, repo)["deleted"]) == sent


def with_images(small, task, split):
    return [{**row, "images": row["image_ids"]} for row in small.rows(task, split)]


def test_second_push_sends_nothing(hub, client, repo, sound_folder):
    first = client.push(sound_folder, repo)
    hub.requests.clear()
    second = client.push(sound_folder, repo)
    assert second["uploaded"] == second["deleted"] == []
    assert sorted(second["unchanged"]) == sorted(first["uploaded"])
    assert second["commit"] == ""
    assert "nothing was uploaded" in second["text"]
    assert len(hub.repositories[repo].commits) == 2
    assert hub.sent("PUT", "") == hub.sent("POST", "/commit/") == []


def test_the_next_release_sends_changes_and_removes_old_shards(
    small, hub, client, repo, own_folder, tmp_path
):
    client.push(own_folder, repo)
    hub.requests.clear()
    task = "sentiment_analysis"
    rows = {key: small.rows(*key) for key in small.tasks_and_splits}
    # One shard instead of two.
    del rows[task, "train"][3:]
    done = client.push(small.write(tmp_path / "next", rows), repo)
    assert hub.files(repo) == content_of(tmp_path / "next")
    assert sorted(done["deleted"]) == [f"{task}/train-0000{n}-of-00002.parquet" for n in (0, 1)]
    assert f"{task}/train-00000-of-00001.parquet" in done["uploaded"]
    assert f"{task}/test-00000-of-00001.parquet" in done["unchanged"]
    # The new shard has the rows of the old first one, so the Hub has its bytes.
    assert len(hub.sent("PUT", "/storage/")) == 0
    assert len(client.load(repo, task)[f"{task}/train"]) == 3


def test_foreign_files_stay(hub, client, repo, sound_folder):
    client.push(sound_folder, repo)
    repository = hub.repositories[repo]
    files = {**repository.commits[repository.branches["main"]]}
    files["notes/a.txt"] = hub_server.File(b"theirs", False)
    repository.commit("main", files, "theirs")
    client.push(sound_folder, repo)
    assert hub.files(repo)["notes/a.txt"] == b"theirs"


def test_private_repository(hub, client, repo, sound_folder):
    done = client.push(sound_folder, repo, private=True)
    assert done["private"]
    assert hub.repositories[repo].private
    assert "all/test" in client.load(repo, "all")


def test_a_private_default_is_kept(hub, client, repo, sound_folder):
    """An organisation may set this default; then only an existing repository can be public."""
    hub.private_by_default = True
    done = client.push(sound_folder, repo, private=False)
    assert done["private"]
    assert hub.repositories[repo].private


def test_private_data_never_goes_to_a_public_repository(hub, client, repo, sound_folder):
    client.push(sound_folder, repo, private=False)
    before = hub.files(repo)
    hub.requests.clear()
    failed = client.push(sound_folder, repo, private=True)
    assert "exists and is public, and --private was asked for" in failed["error"]
    assert hub.files(repo) == before
    assert hub.sent("POST", "/preupload/") == []


def test_branch_and_message(hub, client, repo, sound_folder):
    client.push(sound_folder, repo, revision="v2", message="Second try")
    assert hub.files(repo, "v2") == content_of(sound_folder)
    assert hub.files(repo) == {}
    assert hub.repositories[repo].messages[-1] == "Second try"
    assert client.push(sound_folder, repo, revision="v2")["commit"] == ""


def test_dry_run_makes_no_request(hub, client, repo, sound_folder):
    done = client.push(sound_folder, repo, private=True, dry_run=True)
    assert hub.requests == []
    assert dict(done["files"]) == {path: len(data) for path, data in content_of(sound_folder).items()}
    assert len(done["files"]) == len(read_manifest(sound_folder).files) + 2
    assert f"would go to private {repo}" in done["text"]


# --- rejections ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("hf_wrong_token", "the Hub does not accept the token"),
        ("hf_read_only", "the token may not write there"),
        ("", "there is no token: run `hf auth login` or set HF_TOKEN"),
        ("hf_brok\u00e9n", "the token holds characters that no token has"),
        ("hf_two words", "the token holds characters that no token has"),
    ],
)
@pytest.mark.parametrize("as_argument", [True, False])
def test_a_rejected_token_is_an_error(hub, client, repo, sound_folder, token, message, as_argument):
    if as_argument:
        failed = client.push(sound_folder, repo, token=token, environment_token="")
    else:
        failed = client.push(sound_folder, repo, environment_token=token)
    assert failed["error"].startswith("HubError: ")
    assert message in failed["error"]
    assert not token or token not in failed["error"]
    assert hub.repositories == {}


def test_another_namespace_is_an_error(hub, client, sound_folder):
    failed = client.push(sound_folder, "rival/mugs")
    assert "rival/mugs: the token may not write there" in failed["error"]
    assert "it needs write access to rival" in failed["error"]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "the Hub does not find it"),
        (412, "somebody changed it during the upload"),
        (418, "the Hub answered 418 (failed by the test)"),
    ],
)
def test_a_rejected_commit_can_be_repeated(hub, client, repo, sound_folder, status, message):
    hub.fail_commits_with = status
    assert message in client.push(sound_folder, repo)["error"]
    assert hub.files(repo) == {}
    hub.fail_commits_with = None
    hub.requests.clear()
    client.push(sound_folder, repo)
    assert hub.files(repo) == content_of(sound_folder)
    # Files uploaded before the rejection are not sent again.
    assert hub.sent("PUT", "/storage/") == []


def test_an_unknown_license_is_an_error(hub, client, repo, small, tmp_path):
    import mmecinstruct.dataset as folders
    from mmecinstruct.publish.card import write_card

    folder = small.write(tmp_path / "dataset")
    publish = small.recipe.publish.model_copy(update={"license": "no-such-license"})
    recipe = small.recipe.model_copy(update={"publish": publish})
    folders.write_recipe(folder, recipe)
    statistics = json.loads((folder / "statistics.json").read_text())
    write_card(folder, recipe, statistics, "f" * 32)
    folders.write_manifest(folder, recipe, "f" * 32)
    failed = client.push(folder, repo)
    assert failed["error"].startswith("HubError")
    assert "license" in failed["error"]
    assert hub.sent("PUT", "") == []


@pytest.mark.parametrize(
    ("endpoint", "offline", "message"),
    [
        ("http://127.0.0.1:9", "0", "http://127.0.0.1:9 cannot be reached"),
        ("http://127.0.0.1:9", "1", "HF_HUB_OFFLINE is set"),
    ],
)
def test_an_unreachable_hub_is_an_error(tmp_path, sound_folder, repo, endpoint, offline, message):
    client = Client(endpoint, tmp_path, HF_HUB_OFFLINE=offline)
    assert client.push(sound_folder, repo)["error"].startswith(f"HubError: {repo}: {message}")
    client.close()


@pytest.mark.parametrize(
    "repo",
    ["mugs", "a/b/c", "/mugs", "shop/", "shop/mu gs", "shop/../x", "shop/a--b", "shop/x.git", "shöp/x"],
)
def test_invalid_repository_names_are_rejected_first(tmp_path, repo):
    with pytest.raises(HubError, match="write user/name"):
        push_folder(tmp_path / "there is none", repo, private=False, dry_run=True)


def test_a_damaged_folder_is_not_uploaded(hub, client, repo, own_folder):
    shutil.rmtree(own_folder / "sentiment_analysis")
    failed = client.push(own_folder, repo)
    assert failed["error"].startswith("DatasetError")
    assert "is damaged and was not uploaded" in failed["error"]
    assert hub.requests == []


def test_a_damaged_image_is_not_uploaded(small, own_folder, repo):
    small.edit_rows(
        own_folder,
        "sentiment_analysis/test-00000-of-00001.parquet",
        lambda rows: rows[0]["images"][0].update(bytes=b"no image"),
    )
    with pytest.raises(DatasetError, match="image_damaged"):
        push_folder(own_folder, repo, private=False, dry_run=True)
