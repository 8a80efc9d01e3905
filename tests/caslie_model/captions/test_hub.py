"""A dataset on the Hub is captioned into a folder here, as its own folder would be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import caslie_model
from tests.servers import hub_server

SCRIPT = """
import sys
from pathlib import Path
from huggingface_hub import HfApi
import caslie_model
folder, out = sys.argv[1:]
api = HfApi()
api.create_repo("shop/mugs", repo_type="dataset")
api.upload_folder(repo_id="shop/mugs", repo_type="dataset", folder_path=folder)
chosen = {"tasks": ["cc"], "splits": ["train", "test"]}
there = caslie_model.caption("attributes", "shop/mugs", out, **chosen)
here = caslie_model.caption("attributes", folder, out + "-of-folder", **chosen)
assert [file.read_bytes() for file in there.files] == [file.read_bytes() for file in here.files]
print(len(there.files), there.captions == here.captions > 0)
"""


@pytest.mark.slow
def test_a_dataset_on_the_hub_is_captioned_into_a_folder(image_dataset: Path, tmp_path: Path) -> None:
    with hub_server.running_hub({"hf_key": "shop"}) as hub:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(image_dataset), str(tmp_path / "out")],
            env={
                **environment,
                "PYTHONPATH": str(Path(caslie_model.__file__).parents[1]),
                "HF_ENDPOINT": hub.url,
                "HF_TOKEN": "hf_key",
                "HF_HOME": str(tmp_path / "home"),
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "NO_PROXY": "127.0.0.1,localhost",
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.stdout.strip().endswith("2 True"), done.stderr
