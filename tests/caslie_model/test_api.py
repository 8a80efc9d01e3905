"""What a Python program sees of the functions besides their results."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

import caslie_model
from caslie_model.errors import ConfigError, ModelError
from caslie_model.runtime.console import quiet_libraries_meanwhile

PROGRAM = """
import sys
import caslie_model
data, out = sys.argv[1:]
caslie_model.finetune(data, out + "/adapter", preset="tiny", tasks="cc", samples_per_task=4, device="cpu")
caslie_model.features(data, "random:tiny-vit", tasks="cc", splits="test")
caslie_model.merge(out + "/adapter", out + "/model")
"""


@pytest.mark.slow
def test_libraries_say_nothing_of_their_own(image_dataset: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(image_dataset), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    ours = ("preparing ", "4 samples (0 shortened to fit)", "training: ", "features: ")
    assert [line for line in done.stderr.splitlines() if not line.startswith(ours)] == []


def test_what_a_program_has_set_stays() -> None:
    from transformers.utils import logging as transformers_logging

    before = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    with quiet_libraries_meanwhile():
        assert transformers_logging.get_verbosity() == logging.ERROR
    assert (transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()) == before
    transformers_logging.set_verbosity_info()
    with quiet_libraries_meanwhile():
        assert transformers_logging.get_verbosity() == logging.INFO
    transformers_logging.set_verbosity(before[0])


def test_an_unknown_task_or_split_of_features_is_a_wrong_setting(image_dataset: Path) -> None:
    with pytest.raises(ConfigError, match="no such split: foo; there are train, validation, test, test_ood"):
        caslie_model.features(image_dataset, "random:tiny-vit", splits="test,foo")
    with pytest.raises(ConfigError, match="no such task: foo; there are"):
        caslie_model.features(image_dataset, "random:tiny-vit", tasks="foo")


def test_init_from_that_is_not_there_is_named(image_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"^init_from=nope: there is no such folder; give an adapter folder, or"
    ):
        caslie_model.finetune(image_dataset, tmp_path, preset="tiny", fusion="xattn", init_from="nope")
