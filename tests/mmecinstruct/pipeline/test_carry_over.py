"""A rebuild keeps what no build wrote: files of people, their text in the card, and files that they changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mmecinstruct.core.errors import DatasetError
from mmecinstruct.dataset.manifest import read_card
from mmecinstruct.dataset.validate import validate_folder
from mmecinstruct.pipeline import assemble as assemble_module
from mmecinstruct.pipeline.target import check_target
from tests.mmecinstruct.pipeline.assembling import assemble, hashes, stage_output

CC, SA = "category_classification", "sentiment_analysis"


@pytest.fixture
def rebuild(small, sound_folder, tmp_path):
    """Assemble tmp_path/out from the shards of some tasks; return the warnings."""

    def run(*tasks: str, recipe=small.recipe) -> list[str]:
        shards = stage_output(sound_folder, tmp_path / f"shards{len(list(tmp_path.iterdir()))}", *tasks)
        return list(assemble(tmp_path / "out", shards, sound_folder, recipe).warnings)

    return run


def test_files_of_people_are_taken_over(rebuild, tmp_path):
    out = tmp_path / "out"
    rebuild()
    plain = hashes(out)
    (out / "LICENSE").write_text("mine")
    (out / "drafts" / "deep").mkdir(parents=True)
    (out / "drafts" / "deep" / "train.parquet").write_bytes(b"a table of mine")
    (out / SA / "notes.txt").write_text("mine")
    (out / "empty").mkdir()
    check_target(out)
    assert validate_folder(out) == []
    assert rebuild() == []
    assert validate_folder(out) == []
    assert (out / "empty").is_dir()
    added = {"LICENSE", "drafts/deep/train.parquet", f"{SA}/notes.txt"}
    assert hashes(out).items() >= plain.items()
    assert set(hashes(out)) - set(plain) == added
    assert (out / "LICENSE").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_shards_of_an_older_build_go_away(rebuild, tmp_path):
    rebuild()
    assert rebuild(CC) == []
    assert {path.parts[0] for path in map(Path, hashes(tmp_path / "out"))} == {
        *(CC, "rejections", "README.md", "audit.json", "manifest.json", "recipe.yaml", "statistics.json")
    }
    assert not (tmp_path / "out" / SA).exists()
    assert validate_folder(tmp_path / "out") == []


def test_links_are_taken_over_as_links(rebuild, tmp_path):
    out, outside = tmp_path / "out", tmp_path / "outside"
    rebuild()
    outside.mkdir()
    (outside / "f").write_text("not in the folder")
    (out / "link").symlink_to(outside)
    (out / "broken").symlink_to("nowhere")
    assert rebuild() == []
    assert os.readlink(out / "link") == str(outside)
    assert os.readlink(out / "broken") == "nowhere"
    assert [path.name for path in outside.iterdir()] == ["f"]


@pytest.mark.parametrize(
    "name", ["statistics.json", "recipe.yaml", f"{CC}/validation-00000-of-00001.parquet"]
)
def test_a_changed_file_of_a_build_is_kept_under_another_name(rebuild, tmp_path, name):
    out = tmp_path / "out"
    rebuild()
    sound = (out / name).read_bytes()
    for content, kept in ((b"first", f"{name}.kept"), (b"second", f"{name}.kept2")):
        (out / name).write_bytes(content)
        assert [warning for warning in rebuild() if name in warning and warning.endswith(f"kept as {kept}")]
        assert (out / name).read_bytes() == sound
        assert (out / kept).read_bytes() == content
        assert validate_folder(out) == []


def test_the_same_change_is_kept_once(rebuild, tmp_path):
    out = tmp_path / "out"
    rebuild()
    for number in range(3):
        (out / "statistics.json").write_text("{}")
        assert bool(rebuild()) == (number == 0)
    (out / "statistics.json").write_text("[]")
    assert rebuild() == [
        "statistics.json was changed since its build: what it held is kept as statistics.json.kept2"
    ]
    assert {path.name for path in out.glob("*.kept*")} == {"statistics.json.kept", "statistics.json.kept2"}


def test_a_file_of_people_never_stands_where_a_build_writes(rebuild, tmp_path):
    out = tmp_path / "out"
    rebuild(CC)
    (out / SA).write_text("a note of this name")
    unlisted = f"{CC}/validation-00001-of-00002.parquet"
    (out / unlisted).write_bytes(b"what load_dataset would read")
    assert len(rebuild()) == 2
    assert (out / f"{SA}.kept").read_text() == "a note of this name"
    assert (out / f"{unlisted}.kept").read_bytes() == b"what load_dataset would read"
    assert validate_folder(out) == []
    (out / "audit.json").unlink()
    (out / "audit.json").mkdir()
    (out / "audit.json" / "x").write_text("mine")
    (warning,) = rebuild()
    assert warning.startswith("audit.json ")
    assert (out / "audit.json.kept" / "x").read_text() == "mine"
    assert validate_folder(out) == []


def edit(out: Path, old: str, new: str) -> None:
    text = (out / "README.md").read_text()
    assert old in text
    (out / "README.md").write_text(text.replace(old, new, 1))


def test_text_of_people_in_the_card_is_kept_where_it_stands(rebuild, small, tmp_path):
    out = tmp_path / "out"
    rebuild()
    plain = (out / "README.md").read_text()
    edit(
        out,
        "<!-- mmecinstruct: end splits -->",
        "<!-- mmecinstruct: end splits -->\n\n## Ours\n\nWhy we built it.",
    )
    edit(out, "<!-- mmecinstruct: begin summary", "A banner.\n\n<!-- mmecinstruct: begin summary")
    edit(out, "\n---\n\n", "\nthumbnail: https://x.example/t.png\n---\n\n")
    edit(out, "- mmecinstruct\n", "- mmecinstruct\n- kitchens\n")
    assert validate_folder(out) == []
    edited = (out / "README.md").read_text()
    assert rebuild() == []
    assert (out / "README.md").read_text() == edited
    changed = small.recipe.model_copy(update={"description": "Another description"})
    assert rebuild(CC, recipe=changed) == []
    text = (out / "README.md").read_text()
    assert "Another description" in text
    assert text.index("## Splits") < text.index("## Ours") < text.index("## Images")
    card = read_card(out)
    assert card.people == {"": "A banner.", "splits": "## Ours\n\nWhy we built it."}
    assert card.metadata["thumbnail"] == "https://x.example/t.png"
    assert card.metadata["tags"][-1] == "kitchens"
    assert validate_folder(out) == []
    assert "Ours" not in plain


def test_an_edited_generated_section_is_found_and_kept(rebuild, tmp_path):
    out = tmp_path / "out"
    rebuild()
    plain = (out / "README.md").read_text()
    edit(out, "## Texts\n", "## Texts\n\nAll of them are lovely.\n")
    edited = (out / "README.md").read_text()
    (problem,) = validate_folder(out)
    assert (problem.file, problem.reason) == ("README.md", "card_changed")
    assert problem.detail.startswith("section texts: it was edited, or is of another build")
    (warning,) = rebuild()
    assert "kept as README.md.kept" in warning
    assert (out / "README.md").read_text() == plain
    assert (out / "README.md.kept").read_text() == edited
    assert validate_folder(out) == []


@pytest.mark.parametrize(
    "name", ["README.md", "recipe.yaml", "statistics.json", "audit.json", "manifest.json"]
)
def test_a_file_of_another_build_is_found(rebuild, small, sound_folder, tmp_path, name):
    out, other = tmp_path / "out", tmp_path / "other"
    rebuild()
    recipe = small.recipe.model_copy(
        update={"name": "other", "audit": small.recipe.audit.model_copy(update={"examples": 7})}
    )
    shards = stage_output(sound_folder, tmp_path / "shards", CC)
    assemble(other, shards, sound_folder, recipe, "b" * 32)
    (out / name).write_bytes((other / name).read_bytes())
    problems = validate_folder(out)
    assert problems
    if name != "manifest.json":
        assert {problem.file for problem in problems} == {name}
        assert any("of another build" in problem.detail for problem in problems) or name == "README.md"


def test_a_folder_of_an_earlier_version_is_valid_and_rebuilt(rebuild, tmp_path):
    out = tmp_path / "out"
    rebuild()
    manifest = json.loads((out / "manifest.json").read_text())
    del manifest["card"]
    (out / "manifest.json").write_text(json.dumps(manifest))
    text = (out / "README.md").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("<!--")]
    (out / "README.md").write_text("\n".join(lines) + "\nA remark of mine.\n")
    assert validate_folder(out) == []
    (warning,) = rebuild()
    assert "README.md.kept" in warning
    assert (out / "README.md").read_text() == text
    assert "A remark of mine." in (out / "README.md.kept").read_text()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"# only mine\n", b"---\na: [\n---\n"])
def test_a_card_that_no_build_wrote_is_kept_beside_the_new_one(rebuild, tmp_path, content):
    out = tmp_path / "out"
    rebuild()
    plain = (out / "README.md").read_bytes()
    (out / "README.md").write_bytes(content)
    assert validate_folder(out)
    assert len(rebuild()) == 1
    assert (out / "README.md").read_bytes() == plain
    assert (out / "README.md.kept").read_bytes() == content


def test_a_folder_that_is_no_dataset_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="holds other files than a dataset"):
        check_target(tmp_path)
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(DatasetError, match="holds other files than a dataset"):
        check_target(tmp_path)


def test_what_people_write_while_a_build_runs_is_kept(rebuild, tmp_path, monkeypatch):
    out = tmp_path / "out"
    rebuild()
    real = assemble_module.write_manifest

    def write_meanwhile(*arguments: object) -> object:
        (out / "notes.txt").write_text("just now")
        (out / "README.md").write_text((out / "README.md").read_text() + "\nJust now.\n")
        return real(*arguments)

    monkeypatch.setattr(assemble_module, "write_manifest", write_meanwhile)
    assert len(rebuild()) == 1
    assert (out / "notes.txt").read_text() == "just now"
    assert (out / "README.md.kept").read_text().endswith("\nJust now.\n")
