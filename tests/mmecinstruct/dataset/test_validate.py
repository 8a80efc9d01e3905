"""A valid folder has no problems; each kind of damage is found and named, and none is a traceback."""

from __future__ import annotations

import io
import json
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmecinstruct import audit
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.dataset import validate, write_manifest
from mmecinstruct.dataset.problems import SHOWN_PER_REASON
from mmecinstruct.dataset.validate import Problem, format_problems, validate_folder
from mmecinstruct.schemas.samples import published_schema

AP, CC, PRP, PSI, MPC, SA, SR = (
    "answerability_prediction",
    "category_classification",
    "product_relation_prediction",
    "product_substitute_identification",
    "multiclass_product_classification",
    "sentiment_analysis",
    "sequential_recommendation",
)


def shard(task, split="validation"):
    return f"{task}/{split}-00000-of-00001.parquet"


def reasons(problems):
    return {problem.reason for problem in problems}


def encoded(mode, width, height, kind):
    target = io.BytesIO()
    Image.new(mode, (width, height)).save(target, kind)
    return target.getvalue()


def test_a_valid_folder_has_no_problem(sound_folder):
    assert validate_folder(sound_folder) == []


def test_progress_reaches_the_number_of_rows(sound_folder):
    steps = []
    validate_folder(sound_folder, decode=False, progress=lambda *step: steps.append(step))
    assert steps[-1][1:] == (66, 66)
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)


def test_a_problem_names_file_row_sample_and_reason(small, own_folder):
    small.edit_rows(own_folder, shard(CC), lambda rows: rows[1].update(output="Z"))
    (problem,) = validate_folder(own_folder)
    assert problem == Problem(
        shard(CC), 1, "cat1-validation-1", "answer_not_an_option", "output 'Z' is none of A, B, C"
    )
    assert format_problems([problem]) == (
        f"{shard(CC)} row 1 (sample cat1-validation-1): answer_not_an_option: output 'Z' is none of A, B, C"
    )


# --- one sample ----------------------------------------------------------------------------------------


def update(**values):
    return lambda rows: rows[0].update(values)


def update_groups(**values):
    return lambda rows: rows[0]["group_ids"].update(values)


def update_image(index=0, **values):
    return lambda rows: rows[0]["images"][index].update(values)


SAMPLE_DAMAGE = {
    "id is null": (CC, update(id=None), "value_missing"),
    "id is empty": (CC, update(id=" "), "value_missing"),
    "an image's url is null": (CC, update(image_urls=[None]), "value_missing"),
    "group_ids is null": (CC, update(group_ids=None), "value_missing"),
    "task of another file": (CC, update(task=AP), "task_differs"),
    "split of another file": (CC, update(split="test"), "split_differs"),
    "setting of another split": (CC, update(setting="OOD"), "setting_differs"),
    "major version unknown": (CC, update(schema_version="2.0"), "schema_version"),
    "version differs from the manifest's": (CC, update(schema_version="1.7"), "schema_version"),
    "share above one": (CC, update(text_only_accuracy=1.5), "text_only_accuracy"),
    "share is not a number": (CC, update(text_only_accuracy=float("nan")), "text_only_accuracy"),
    "held-out instruction in validation": (
        *(CC, update(instruction_unseen="x", instruction_unseen_id="y"), "instruction_unseen"),
    ),
    "held-out instruction without id": (CC, update(instruction_unseen="x"), "instruction_unseen"),
    "input is no JSON": (CC, update(input="{"), "input_not_json"),
    "input nests too deep": (CC, update(input="[" * 100_000), "input_not_json"),
    "input is a list": (CC, update(input='["a"]'), "input_shape"),
    "input lacks a key": (PRP, update(input='{"product 1": "x"}'), "input_shape"),
    "input has a key too many": (CC, update(input='{"title": "x", "price": "1"}'), "input_shape"),
    "input value is no text": (CC, update(input='{"title": 7}'), "input_shape"),
    "input value is blank": (CC, update(input='{"title": " "}'), "input_shape"),
    "sequence is an object": (SR, update(input='{"1st": "x"}'), "input_shape"),
    "sequence is misnumbered": (SR, update(input='["1st: a", "3rd: b"]'), "input_shape"),
    "answer is no option": (CC, update(output="D"), "answer_not_an_option"),
    "answer has a text": (CC, update(output="A: Mugs"), "answer_not_an_option"),
    "answer is neither yes nor no": (AP, update(output="Yes"), "answer_not_an_option"),
    "yes/no task with options": (AP, update(options=["A: yes", "B: no"]), "options"),
    "option without letter": (CC, update(options=["A: Mugs", "Pots"]), "options"),
    "options out of order": (CC, update(options=["A: Mugs", "C: Pots", "B: Rugs"]), "options"),
    "option is empty": (CC, update(options=["A: Mugs", "B:  "]), "options"),
    "option occurs twice": (CC, update(options=["A: Mugs", "B: Mugs"]), "options"),
    "only one option": (CC, update(options=["A: Mugs"]), "options"),
    "a label too few": (SA, update(options=["A: a", "B: b", "C: c", "D: d"], output="D"), "options"),
    "role of another task": (CC, update(image_roles=["review"]), "image_roles"),
    "roles out of order": (PRP, update(image_roles=["product 2", "product 1"]), "image_roles"),
    "role occurs twice": (PRP, update(image_roles=["product 1", "product 1"]), "image_roles"),
    "role beyond the history": (
        *(SR, update(image_roles=["history 1", "history 4", "option A", "option C"]), "image_roles"),
    ),
    "role of an option that is not": (
        *(SR, update(image_roles=["history 1", "history 2", "option A", "option D"]), "image_roles"),
    ),
    "one role too few": (PRP, update(image_roles=["product 1"]), "images_not_aligned"),
    "one image too few": (PRP, lambda rows: rows[0]["images"].pop(), "images_not_aligned"),
    "image id is empty": (CC, update(image_ids=[""]), "image_id_missing"),
    "image without bytes": (CC, update_image(bytes=None), "image_not_embedded"),
    "image is null": (CC, update(images=[None]), "image_not_embedded"),
    "image is no image": (CC, update_image(bytes=b"<html>not found</html>"), "image_damaged"),
    "image is cut off": (*(CC, update_image(bytes=encoded("L", 64, 64, "JPEG")[:-40]), "image_damaged"),),
    "image is a bomb": (CC, update_image(bytes=encoded("1", 8000, 8000, "PNG")), "image_too_large"),
    "no products": (CC, update(product_ids=[]), "group_missing"),
    "no user": (SR, update_groups(user=None), "group_missing"),
    "no query": (MPC, update_groups(query=None), "group_missing"),
    "the id occurs twice in a file": (CC, lambda rows: rows[1].update(id=rows[0]["id"]), "id_repeated"),
    "the id is in another task": (CC, update(id="pro2-train-0"), "id_repeated"),
    "the groups are null": (CC, update_groups(groups=None), "value_missing"),
    "a group of another split": (CC, update_groups(groups=["shop:group-train"]), "group_in_two_splits"),
    "a cluster of another split": (CC, update_groups(clusters=["shop:train-0"]), "group_in_two_splits"),
    "a cluster of another task's split": (
        *(PSI, update_groups(clusters=["shop:test_ood-1b"]), "group_in_two_splits"),
    ),
    "a product of another split, no clusters": (
        *(SA, update_groups(clusters=[], products=["shop:test-0"]), "group_in_two_splits"),
    ),
    "a query of another split": (MPC, update_groups(query="query-test-1"), "group_in_two_splits"),
    "a user of another split": (SR, update_groups(user=1), "group_in_two_splits"),
}


@pytest.mark.parametrize("name", SAMPLE_DAMAGE)
def test_a_damaged_sample_is_found(small, own_folder, name):
    task, change, reason = SAMPLE_DAMAGE[name]
    small.edit_rows(own_folder, shard(task), change)
    assert reasons(validate_folder(own_folder)) == {reason}


def test_test_rows_carry_the_held_out_instruction(small, own_folder):
    small.edit_rows(
        own_folder, shard(CC, "test"), update(instruction_unseen=None, instruction_unseen_id=None)
    )
    assert reasons(validate_folder(own_folder)) == {"instruction_unseen"}


def test_a_held_out_instruction_is_in_no_row(small, own_folder):
    for images in ("", "-no-images"):
        small.edit_rows(own_folder, shard(CC), update(instruction_id=f"{CC}/5{images}@12345678"))
        assert reasons(validate_folder(own_folder)) == {"instruction_not_held_out"}


@pytest.mark.parametrize("category", ["Kitchen", "KITCHEN", None, ""])
def test_an_ood_category_in_training_is_found(small, own_folder, category):
    # A training row without category could be of any category, so it counts as an overlap.
    small.edit_rows(own_folder, shard(SA, "test_ood"), update(category=category and category.title()))
    train = f"{SA}/train-00001-of-00002.parquet"
    small.edit_rows(own_folder, train, update(category=category))
    (problem,) = validate_folder(own_folder)
    assert (problem.file, problem.row, problem.reason) == (shard(SA, "test_ood"), 0, "ood_category_in_train")


def test_candidates_of_a_recommendation_may_share_a_title(small, sound_folder):
    assert small.rows(SR, "train")[0]["options"][:2] == ["A: Mug", "B: Mug"]
    assert validate_folder(sound_folder) == []


def test_recommendations_may_share_products_but_not_users(small, own_folder):
    small.edit_rows(own_folder, shard(SR), update_groups(clusters=["shop:train-0"]))
    assert validate_folder(own_folder) == []


def test_a_group_is_reported_once(small, own_folder):
    def damage(rows):
        for row in rows:
            row["group_ids"]["clusters"] = ["shop:train-0"]

    small.edit_rows(own_folder, shard(CC), damage)
    assert len(validate_folder(own_folder)) == 1


def test_samples_without_images_are_valid(small, own_folder):
    none = {name: [] for name in ("images", "image_roles", "image_urls", "image_ids", "image_product_ids")}
    small.edit_rows(own_folder, shard(SR), update(**none))
    assert validate_folder(own_folder) == []


def test_images_are_decoded_only_on_request(small, own_folder):
    small.edit_rows(own_folder, shard(CC), update_image(bytes=b"no image"))
    assert validate_folder(own_folder, decode=False) == []


def test_many_problems_of_a_kind_are_counted(small, own_folder):
    rows = [{**small.rows(CC, "validation")[0], "id": f"new-{n}", "output": "Z"} for n in range(50)]
    small.edit_rows(own_folder, shard(CC), lambda old: old.__setitem__(slice(None), grown(old, rows)))
    problems = validate_folder(own_folder)
    assert len(problems) == SHOWN_PER_REASON + 1
    assert (problems[-1].row, problems[-1].detail) == (None, "30 more")


def grown(old, rows):
    return [{**row, "images": old[0]["images"]} for row in rows]


# --- one shard -----------------------------------------------------------------------------------------


def rewrite(small, folder, path, change):
    """Change a shard as a table and write the manifest again."""
    table = change(pq.read_table(folder / path))
    pq.write_table(table, folder / path)
    write_manifest(folder, small.recipe, "f" * 32)


TABLE_DAMAGE = {
    "a column is missing": (lambda t: t.drop_columns(["output"]), "schema_columns"),
    "a column is new": (lambda t: t.append_column("extra", t["id"]), "schema_columns"),
    "a column has another type": (
        lambda t: t.set_column(0, "id", t["id"].cast(pa.large_string())),
        "schema_columns",
    ),
    "without the huggingface metadata": (lambda t: t.replace_schema_metadata(None), "schema_metadata"),
    "with broken huggingface metadata": (
        lambda t: t.replace_schema_metadata({"huggingface": "[1"}),
        "schema_metadata",
    ),
}


@pytest.mark.parametrize("name", TABLE_DAMAGE)
def test_a_damaged_table_is_found(small, own_folder, name):
    change, reason = TABLE_DAMAGE[name]
    rewrite(small, own_folder, shard(CC), change)
    assert reasons(validate_folder(own_folder)) == {reason}


def test_a_folder_of_an_earlier_version_has_no_groups(small, own_folder):
    manifest = json.loads((own_folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        if entry["rows"] and "rejections" not in entry["path"]:
            rows = pq.read_table(own_folder / entry["path"]).to_pylist()
            old = pa.Table.from_pylist(
                [{**row, "schema_version": "1.0"} for row in rows], schema=published_schema("1.0")
            )
            pq.write_table(old, own_folder / entry["path"])
    content = write_manifest(own_folder, small.recipe, "f" * 32).model_dump(mode="json")
    (own_folder / "manifest.json").write_text(json.dumps({**content, "schema_version": "1.0"}))
    assert validate_folder(own_folder) == []


def test_later_minor_version_may_add_columns(small, own_folder):
    manifest = json.loads((own_folder / "manifest.json").read_text())
    paths = [
        entry["path"] for entry in manifest["files"] if entry["rows"] and "rejections" not in entry["path"]
    ]
    for path in paths:
        table = pq.read_table(own_folder / path)
        version = pa.array(["1.9"] * table.num_rows)
        table = table.set_column(table.schema.names.index("schema_version"), "schema_version", version)
        pq.write_table(table.append_column("extra", table["id"]), own_folder / path)
    content = write_manifest(own_folder, small.recipe, "f" * 32).model_dump(mode="json")
    (own_folder / "manifest.json").write_text(json.dumps({**content, "schema_version": "1.9", "new": 1}))
    assert validate_folder(own_folder) == []


def test_large_row_group_is_not_read(own_folder, monkeypatch):
    monkeypatch.setattr(validate, "MAX_ROW_GROUP_BYTES", 100)
    assert reasons(validate_folder(own_folder)) == {"row_group_too_large"}


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 500 + b"PAR1", b"<html>" * 100])
def test_a_shard_that_is_no_parquet_is_found(small, own_folder, content):
    (own_folder / shard(CC)).write_bytes(content)
    assert reasons(validate_folder(own_folder)) == {"file_changed", "parquet_unreadable"}


def test_flipped_bytes_are_found(small, tmp_path):
    """A flipped byte in any part of a file gives a list of problems."""
    own_folder = small.write(tmp_path, {(CC, "validation"): small.rows(CC, "validation")})
    file = own_folder / shard(CC)
    sound = file.read_bytes()
    for position in range(0, len(sound), max(1, len(sound) // 200)):
        file.write_bytes(sound[:position] + bytes([sound[position] ^ 0xFF]) + sound[position + 1 :])
        assert "file_changed" in reasons(validate_folder(own_folder))


def test_rows_differ_from_the_manifest(own_folder):
    manifest = json.loads((own_folder / "manifest.json").read_text())
    manifest["files"][0]["rows"] += 1
    (own_folder / "manifest.json").write_text(json.dumps(manifest))
    assert reasons(validate_folder(own_folder)) == {"rows_differ"}


# --- the folder ----------------------------------------------------------------------------------------


def remove(*paths):
    def change(folder):
        for path in paths:
            (folder / path).unlink()

    return change


def write(path, content):
    def change(folder):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(content)

    return change


def edit_card(old, new):
    def change(folder):
        text = (folder / "README.md").read_text()
        assert old in text
        (folder / "README.md").write_text(text.replace(old, new))

    return change


def copy_shard(target):
    return lambda folder: shutil.copy(folder / shard(CC), folder / target)


FOLDER_DAMAGE = {
    "no manifest": (remove("manifest.json"), {"manifest_missing"}),
    "manifest is no manifest": (write("manifest.json", "{}"), {"manifest_invalid"}),
    "no card": (remove("README.md"), {"card_missing"}),
    "card without YAML": (write("README.md", "# Data"), {"card_invalid"}),
    "card with broken YAML": (write("README.md", "---\na: [\n---\n"), {"card_invalid"}),
    "card without configs": (write("README.md", "---\na: 1\n---\n"), {"card_invalid"}),
    "card with odd configs": (write("README.md", "---\nconfigs: [1]\n---\n"), {"card_invalid"}),
    "test* takes test_ood too": (
        edit_card(f"path: {CC}/test-*.parquet", f"path: {CC}/test*.parquet"),
        {"card_configs"},
    ),
    "a split is not in the card": (
        edit_card(f"  - split: test_ood\n    path: {CC}/test_ood-*.parquet\n", ""),
        {"card_configs"},
    ),
    "a config is not in the card": (edit_card(f"config_name: {CC}", "config_name: other"), {"card_configs"}),
    "the card takes rejections": (
        edit_card(f"path: {CC}/test-*.parquet", 'path: "**/*.parquet"'),
        {"card_configs"},
    ),
    "no recipe": (remove("recipe.yaml"), {"file_missing"}),
    "no statistics": (remove("statistics.json"), {"file_missing"}),
    "no rejections": (remove("rejections/rejections.parquet"), {"file_missing"}),
    "recipe changed": (write("recipe.yaml", "name: other"), {"file_changed"}),
    "one shard of two is gone": (
        remove(f"{CC}/train-00001-of-00002.parquet"),
        {"file_missing", "shards_incomplete"},
    ),
    "shards of another build": (
        copy_shard(f"{CC}/validation-00001-of-00002.parquet"),
        {"file_unlisted", "shards_incomplete", "id_repeated"},
    ),
    "a table with an unknown name": (copy_shard(f"{CC}/extra.parquet"), {"file_unexpected"}),
}


@pytest.mark.parametrize("name", FOLDER_DAMAGE)
def test_a_damaged_folder_is_found(own_folder, name):
    change, expected = FOLDER_DAMAGE[name]
    change(own_folder)
    assert reasons(validate_folder(own_folder)) == expected


def test_file_of_the_same_size_is_compared_by_hash(own_folder):
    text = (own_folder / "recipe.yaml").read_text()
    (own_folder / "recipe.yaml").write_text(text.replace("name: small", "name: smell"))
    (problem,) = validate_folder(own_folder)
    assert (problem.file, problem.reason) == ("recipe.yaml", "file_changed")


def test_an_edited_page_of_the_card_is_valid(own_folder):
    text = (own_folder / "README.md").read_text()
    (own_folder / "README.md").write_text(text + "\nThanks to everybody.\n")
    assert validate_folder(own_folder) == []


def test_other_files_beside_the_data_are_ignored(own_folder):
    (own_folder / "notes.txt").write_text("mine")
    (own_folder / ".cache").mkdir()
    shutil.copy(own_folder / shard(CC), own_folder / ".cache" / "x.parquet")
    assert validate_folder(own_folder) == []


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.touch()])
def test_another_folder_is_no_dataset_folder(tmp_path, make):
    make(tmp_path / "x")
    assert reasons(validate_folder(tmp_path / "x")) == {"not_a_dataset_folder"}


def test_names_that_no_terminal_shows_are_told(own_folder):
    (own_folder / CC / os.fsdecode(b"\xff.parquet")).touch()
    (problem,) = validate_folder(own_folder)
    assert (problem.file, problem.reason) == (f"{CC}/?.parquet", "file_unexpected")


@pytest.mark.parametrize(
    ("name", "said"),
    [("loop", "leads back to itself"), (os.fsdecode(b"\xff"), "not UTF-8"), ("x" * 300, "too long")],
)
def test_a_path_that_cannot_be_used_is_a_problem(tmp_path, name, said):
    (tmp_path / "loop").symlink_to("loop")
    (problem,) = validate_folder(tmp_path / name)
    assert problem.reason == "not_a_dataset_folder"
    assert said in problem.detail
    with pytest.raises(DatasetError, match=said):
        audit(tmp_path / name)


def test_tables_of_people_beside_the_tasks_are_ignored(own_folder):
    (own_folder / "captions").mkdir()
    shutil.copy(own_folder / shard(CC), own_folder / "captions" / "train.parquet")
    assert validate_folder(own_folder) == []


def test_an_audit_that_the_manifest_does_not_list_is_found(own_folder):
    (own_folder / "audit.json").write_text("{}")
    (problem,) = validate_folder(own_folder)
    assert (problem.file, problem.reason) == ("audit.json", "file_unlisted")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("/home/jane/pics/0.jpg", "path_private"),
        ("file:///home/jane/pics/0.jpg", "path_private"),
        ("https://jane@shop.example/0.jpg", "url_secret"),
        ("https://shop.example/0.jpg?sv=1&sig=ABC", "url_secret"),
        ("https://shop.example/0.jpg?token=ABC", "url_secret"),
        ("https://shop.example/0.jpg?Expires=17&Signature=A&Key-Pair-Id=K", "url_secret"),
        ("https://shop.example/0.jpg?x=eyJhbGciOi.eyJzdWIi.c2ln", "url_secret"),
        ("pics/0.jpg", None),
        ("https://shop.example/0.jpg?v=17&width=800", None),
    ],
)
def test_a_url_that_tells_too_much_is_found(small, own_folder, url, reason):
    small.edit_rows(own_folder, shard(CC), lambda rows: rows[0].update(image_urls=[url]))
    found = validate_folder(own_folder)
    assert [(problem.file, problem.row, problem.reason) for problem in found] == (
        [(shard(CC), 0, reason)] if reason else []
    )
    assert not any(secret in problem.detail for problem in found for secret in ("jane", "ABC", "eyJ"))


def test_texts_and_rejections_of_the_folder_are_searched_too(small, own_folder):
    card = own_folder / "README.md"
    mark = "<!-- mmecinstruct: end tasks -->\n"
    more = "See file:///home/jane/x.jpg and https://shop.example/0.jpg?X-Amz-Signature=1, or https://shop.example."
    card.write_text(card.read_text().replace(mark, f"{mark}{more}\n"))
    recipe = own_folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("path: labels.jsonl", "path: /home/jane/labels.jsonl"))
    rejected = own_folder / "rejections" / "rejections.parquet"
    row = {
        "stage": "images",
        "reason": "dead_path",
        "detail": "no",
        "origin": "/home/jane/x.jpg",
        "record_id": "",
    }
    pq.write_table(pa.Table.from_pylist([row], schema=pq.read_schema(rejected)), rejected)
    write_manifest(own_folder, small.recipe, "f" * 32)
    assert [(problem.file, problem.reason) for problem in validate_folder(own_folder)] == [
        ("README.md", "path_private"),
        ("README.md", "url_secret"),
        ("recipe.yaml", "path_private"),
        ("rejections/rejections.parquet", "rejection_private"),
    ]
