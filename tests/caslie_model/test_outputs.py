"""No command writes into a folder that another one made, and a full disk damages nothing for good."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

import caslie_model
from caslie_model.errors import ModelError, RunError
from caslie_model.training.run_folder import CHECKPOINTS
from mmecinstruct.core.errors import MmecError, OutputError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.core.output_folder import MARK

SETTINGS = {"preset": "tiny", "tasks": ["cc"], "samples_per_task": 8, "device": "cpu"}
ASKED = {"tasks": ["cc"], "splits": ["test"], "limit": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, image_dataset: Path) -> Path:
    """A folder of what each command makes."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(image_dataset, folder / "dataset")
    for name in ("recipe.yaml", "manifest.json"):
        (folder / "dataset" / name).write_text("{}")
    caslie_model.finetune(image_dataset, folder / "adapter", **SETTINGS)
    caslie_model.evaluate(folder / "adapter", image_dataset, folder / "evaluation", **ASKED)
    caslie_model.merge(folder / "adapter", folder / "model")
    catalogue = folder / "products.csv"
    catalogue.write_text("id,colour\n" + "".join(f"{name},red\n" for name in ("a", "b")))
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*") if path.is_file()
    }


def run(command: str, made: Path, out: Path, **options: bool) -> None:
    data = made / "dataset"
    if command == "finetune":
        caslie_model.finetune(data, out, **SETTINGS, **options)
    elif command == "align":
        caslie_model.align(data, made / "products.csv", "colour", out, preset="tiny", device="cpu", **options)
    elif command == "evaluate":
        caslie_model.evaluate(made / "adapter", data, out, **ASKED, **options)
    else:
        caslie_model.merge(made / "adapter", out)


@pytest.mark.parametrize("is_marked", [True, False])
@pytest.mark.parametrize("there", ["adapter", "evaluation", "model", "dataset"])
@pytest.mark.parametrize("command", ["finetune", "align", "evaluate", "merge"])
def test_what_another_command_made_stays_as_it_is(
    command: str, there: str, is_marked: bool, made: Path, tmp_path: Path
) -> None:
    if (command, there) in (("finetune", "adapter"), ("evaluate", "evaluation"), ("merge", "model")):
        pytest.skip("its own folder")
    out = Path(shutil.copytree(made / there, tmp_path / "out"))
    if not is_marked:
        (out / MARK).unlink(missing_ok=True)
    before = contents(out)
    words = {
        "adapter": "an adapter",
        "evaluation": "an evaluation",
        "model": "a model",
        "dataset": "a dataset",
    }
    for options in ({}, {"overwrite": True}):
        with pytest.raises(OutputError, match=f"holds {words[there]}") as caught:
            run(command, made, out, **({} if command == "merge" else options))
        assert "resume" not in str(caught.value)
    assert contents(out) == before


def test_an_adapter_stays_usable_after_an_evaluation_into_it_was_refused(made: Path, tmp_path: Path) -> None:
    adapter = Path(shutil.copytree(made / "adapter", tmp_path / "adapter"))
    before = contents(adapter)
    with pytest.raises(OutputError, match="holds an adapter of `caslie_model finetune`"):
        caslie_model.evaluate(adapter, made / "dataset", adapter, **ASKED)
    assert contents(adapter) == before
    caslie_model.evaluate(adapter, made / "dataset", tmp_path / "results", **ASKED)
    caslie_model.merge(adapter, tmp_path / "whole")


@pytest.mark.parametrize("name", ["adapter", "dataset"])
def test_results_are_not_written_inside_or_around_what_is_read(name: str, made: Path) -> None:
    for out in (made / name / "results", made):
        with pytest.raises(OutputError, match=r"lies inside|in it, which"):
            caslie_model.evaluate(made / "adapter", made / "dataset", out, **ASKED)
    assert not (made / name / "results").exists()


def test_features_are_not_cached_inside_a_dataset(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASLIE_MODEL_CACHE", str(made / "dataset" / "cache"))
    with pytest.raises(ModelError, match=r"lies inside .*dataset, which holds a dataset.*CASLIE_MODEL_CACHE"):
        caslie_model.features(made / "dataset", "random:tiny-vit", tasks="cc", splits="test")
    assert not (made / "dataset" / "cache").exists()


def test_marks_are_not_published(made: Path) -> None:
    for name in ("adapter", "model"):
        assert (made / name / MARK).is_file()
        pushed = caslie_model.push_model(made / name, "user/name", dry_run=True)
        assert MARK not in dict(pushed.result.files)


def test_a_run_without_a_checkpoint_starts_from_the_beginning_and_says_so(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    caslie_model.finetune(made / "dataset", out, resume=True, **SETTINGS)
    assert f"{out} holds no run to resume: training starts from the beginning" in capsys.readouterr().err
    (out / "training.json").unlink()
    (out / CHECKPOINTS).mkdir()
    caslie_model.finetune(made / "dataset", out, resume=True, **SETTINGS)
    said = capsys.readouterr().err
    assert f"{out} has no checkpoint to resume from: training starts from the beginning" in said


def test_a_run_that_was_stopped_while_it_began_can_start_again(made: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(made / "adapter", tmp_path / "out"))
    for path in out.iterdir():
        if path.name not in (MARK, "prompts"):
            path.unlink()
    (out / CHECKPOINTS).mkdir()
    (out / CHECKPOINTS / "fingerprint.txt").write_text("of other samples")
    caslie_model.finetune(made / "dataset", out, **SETTINGS)
    with pytest.raises(RunError, match="holds a finished adapter"):
        caslie_model.finetune(made / "dataset", out, **SETTINGS)


@pytest.mark.parametrize("command", ["finetune", "align", "evaluate", "merge"])
def test_a_folder_that_cannot_be_made_is_named_before_any_work(
    command: str, made: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for out in (tmp_path / "file", tmp_path / "file" / "out", tmp_path / "loop", tmp_path / ("n" * 300)):
        with pytest.raises(MmecError, match=f"^out={out}"):
            run(command, made, out)


def test_dry_runs_refuse_what_the_run_would(made: Path, tmp_path: Path) -> None:
    from caslie_model.config.presets import evaluate_config, finetune_config
    from caslie_model.evaluation.dry_run import estimate_evaluation
    from caslie_model.training.estimate import estimate

    (tmp_path / "file").write_text("")
    for out, said in ((tmp_path / "file", "is a file"), (made / "model", "holds a model")):
        with pytest.raises(OutputError, match=said):
            estimate(finetune_config("tiny", data=str(made / "dataset"), out=out))
        with pytest.raises(OutputError, match=said):
            estimate_evaluation(
                evaluate_config(model=str(made / "adapter"), data=str(made / "dataset"), out=out)
            )


def test_the_mark_names_command_and_version(made: Path) -> None:
    content = yaml.safe_load((made / "model" / MARK).read_text())
    assert set(content) == {"command", "version"}
    assert content["command"] == "caslie_model merge"
