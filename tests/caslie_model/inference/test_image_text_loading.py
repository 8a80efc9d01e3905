"""Loading of image-text models: their processors, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from caslie_model.backbones.image_text_model import image_place, load_image_text_model
from caslie_model.errors import ModelError


@pytest.fixture
def copied(image_text_folder: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(image_text_folder(name), tmp_path / name))


def change(file: Path, **fields: Any) -> None:
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.write_text(json.dumps(content | fields), encoding="utf-8")


def test_a_processor_that_wants_videos_is_joined_without_one(
    image_text_folder: Callable[[str], Path],
) -> None:
    loaded = load_image_text_model(str(image_text_folder("qwen2_vl")))
    assert loaded.processor.video_processor is None
    assert type(loaded.processor.image_processor).__name__ == "Qwen2VLImageProcessorPil"
    assert loaded.tokenizer.padding_side == "left"
    assert "<|image_pad|>" in loaded.control_texts
    assert loaded.is_tested


def test_smolvlm_images_are_written_as_its_own_processor_does(
    image_text_folder: Callable[[str], Path],
) -> None:
    from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

    processor = load_image_text_model(str(image_text_folder("smolvlm"))).processor
    for rows, columns in ((0, 0), (1, 2), (3, 3)):
        tokens = ("<fake_token_around_image>", "<image>", "<global-img>")
        expected = get_image_prompt_string(rows, columns, processor.image_seq_len, *tokens)
        assert processor.replace_image_token({"rows": [[rows]], "cols": [[columns]]}, 0) == expected


@pytest.mark.parametrize("name", ["llava", "gemma3"])
def test_files_that_save_pretrained_writes_today_are_read(name: str, copied: Callable[[str], Path]) -> None:
    folder = copied(name)
    before = load_image_text_model(str(folder))
    for file in ("preprocessor_config.json", "processor_config.json", "chat_template.jinja"):
        (folder / file).unlink()
    type(before.processor).__mro__[1].save_pretrained(before.processor, folder)
    change(folder / "processor_config.json", processor_class=type(before.processor).__mro__[1].__name__)
    after = load_image_text_model(str(folder))
    assert after.chat_template == before.chat_template
    assert type(after.processor.image_processor) is type(before.processor.image_processor)
    assert after.processor.image_processor.to_dict() == before.processor.image_processor.to_dict()


def test_the_fingerprint_changes_with_the_size_of_images_and_the_template(
    copied: Callable[[str], Path],
) -> None:
    folder = copied("llava")
    found = [load_image_text_model(str(folder)).fingerprint]
    change(folder / "preprocessor_config.json", crop_size={"height": 21, "width": 21})
    found.append(load_image_text_model(str(folder)).fingerprint)
    (folder / "chat_template.jinja").write_text("{{ messages[0].content[0].text }}", encoding="utf-8")
    found.append(load_image_text_model(str(folder)).fingerprint)
    assert len(set(found)) == 3


# The published templates of LLaVA-OneVision, and of Idefics.
MOVED = (
    "{% for m in messages %}<|im_start|>{{ m.role }} {% for c in m.content | selectattr('type', 'equalto', 'image') %}"
    "<image>{% endfor %}{% for c in m.content | selectattr('type', 'equalto', 'text') %}\n{{ c.text }}{% endfor %}"
    "<|im_end|>{% endfor %}"
)
KEPT = "{% for m in messages %}{% for c in m.content %}{{ c.text or '<image>' }}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "place"),
    [(MOVED, "<image>"), (KEPT, None), ("{{ messages[0].content[0].text }}", None), ("{{ x.y }}", None)],
)
def test_the_place_of_images_that_a_template_moves(
    template: str, place: str | None, image_text_folder: Callable[[str], Path]
) -> None:
    tokenizer = load_image_text_model(str(image_text_folder("llava"))).tokenizer
    assert image_place(tokenizer, template) == place


def test_a_quantised_model_answers(image_text_folder: Callable[[str], Path]) -> None:
    pytest.importorskip("bitsandbytes")
    loaded = load_image_text_model(str(image_text_folder("qwen2_5_vl")), quantise="8bit")
    assert loaded.model.is_quantized
    with torch.inference_mode():
        given = loaded.processor(text=["Which?"], return_tensors="pt")
        assert loaded.model(input_ids=given["input_ids"]).logits.isfinite().all()


def test_a_model_without_a_chat_template_is_an_error(copied: Callable[[str], Path]) -> None:
    folder = copied("llava")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match=r"has no chat template.*chat_template\.jinja"):
        load_image_text_model(str(folder))


def test_pickled_weights_are_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("llava")
    (folder / "model.safetensors").unlink()
    torch.save({"weights": torch.zeros(1)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"image-text model .* cannot be loaded"):
        load_image_text_model(str(folder))


def test_missing_weights_are_an_error(copied: Callable[[str], Path]) -> None:
    folder = copied("llava")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["text_config"]["num_hidden_layers"] = 3
    change(folder / "config.json", **config)
    with pytest.raises(ModelError, match="its weights lack"):
        load_image_text_model(str(folder))


@pytest.mark.parametrize("processor", ["NoSuchProcessor", "Qwen2_5OmniProcessor"])
def test_a_processor_of_another_kind_is_an_error(processor: str, copied: Callable[[str], Path]) -> None:
    folder = copied("llava")
    change(folder / "processor_config.json", processor_class=processor)
    with pytest.raises(ModelError, match=r"no processor NoSuchProcessor|wants more than images and text"):
        load_image_text_model(str(folder))


def test_code_beside_a_checkpoint_is_not_run(copied: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copied("llava")
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w').close()\nclass Own: pass\n"
    (folder / "own.py").write_text(code, encoding="utf-8")
    references = {
        "AutoConfig": "own.Own",
        "AutoProcessor": "own.Own",
        "AutoModelForImageTextToText": "own.Own",
    }
    for file in ("config.json", "processor_config.json", "preprocessor_config.json"):
        change(folder / file, auto_map=references | {"AutoImageProcessor": "own.Own"})
    load_image_text_model(str(folder))
    assert not ran.exists()


def test_no_such_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no base model"):
        load_image_text_model(str(tmp_path / "nothing"))
