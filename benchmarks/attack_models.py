"""Hostile models: code in weights, configs, templates; changed bases; numbers that are none; damaged answer logs."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attack_pairs import check_answers, merged
from attack_runs import Attack, Bench, Fault, Finding, Ran, digest, last_line, lost, wrong
from attack_shop import evaluate_command, finetune_command, rows_of, trained
from attack_tables import found

GROUP = "hostile models"
CHECKED = (
    "no planted code is run, an adapter is refused on another base, a training without finite loss fails and leaves no "
    "finished adapter, no NaN in any JSON, merged and unmerged models answer alike, exit status 0 or 1, no traceback"
)
OTHER = "0" * 24
FEW = ("--limit", "3")


class Planted:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.mark), "w"))


def base(bench: Bench, folder: Path) -> Path:
    """Return a copy of a tiny base model's folder."""
    trained(bench)  # writes it into the cache
    source = next(iter(sorted((bench.scratch / "home" / "models").glob("random-tiny-*"))))
    shutil.copytree(source, folder / "base")
    return folder / "base"


def changed_json(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))


def weights_of(folder: Path) -> Path:
    return next(iter(sorted(folder.glob("*.safetensors"))))


def scaled(path: Path, factor: float) -> None:
    """Multiply every tensor of a file; NaN makes them all NaN."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    with safe_open(path, "np") as file:
        metadata = file.metadata()
    save_file(
        {name: value * value.dtype.type(factor) for name, value in load_file(path).items()}, path, metadata
    )


def no_code(folder: Path, ran: Ran) -> None:
    if any(folder.rglob("PWNED")) or (Path.cwd() / "PWNED").exists():
        raise wrong("planted code was run")
    if ran.code == 0 and "PWNED" in ran.said:
        raise wrong("planted text was run")


# Base models.


def pickled(folder: Path) -> None:
    weights_of(folder).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Planted(folder / "PWNED")))


def remote_code(folder: Path) -> None:
    code = f"open({str(folder / 'PWNED')!r}, 'w')\n"
    (folder / "planted.py").write_text(code + "class Config: pass\nclass Model: pass\n")
    names = {
        "AutoConfig": "planted.Config",
        "AutoModelForCausalLM": "planted.Model",
        "AutoTokenizer": ["planted.Model", None],
    }
    changed_json(folder / "config.json", auto_map=names, model_type="planted")
    changed_json(folder / "tokenizer_config.json", auto_map=names, tokenizer_class="Planted")


def template(text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "chat_template.jinja").write_text(text.replace("PLACE", str(folder / "PWNED")))
        changed_json(
            folder / "tokenizer_config.json", chat_template=text.replace("PLACE", str(folder / "PWNED"))
        )

    return change


def header(length: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = weights_of(folder)
        path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])

    return change


def cut(folder: Path) -> None:
    path = weights_of(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def outside_index(folder: Path) -> None:
    weights_of(folder).rename(folder.parent / "outside.safetensors")
    index = {"metadata": {}, "weight_map": {"model.embed_tokens.weight": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


ESCAPES = "{{ cycler.__init__.__globals__.os.popen('touch PLACE').read() }}"
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}"
BASES: dict[str, Callable[[Path], None]] = {
    "weights as a pickle": pickled,
    "remote code": remote_code,
    "a chat template that leaves its sandbox": template(ESCAPES),
    "a chat template without end": template(ENDLESS),
    "a chat template that is broken": template("{% if %}"),
    "a width of a billion": lambda folder: changed_json(
        folder / "config.json", hidden_size=2**30, intermediate_size=2**31
    ),
    "a vocabulary of two billion": lambda folder: changed_json(folder / "config.json", vocab_size=2**31),
    "an unknown kind": lambda folder: changed_json(folder / "config.json", model_type="no-such-kind"),
    "weights of another shape": lambda folder: changed_json(
        folder / "config.json", num_attention_heads=3, head_dim=7
    ),
    "weights with a header of exabytes": header(2**62),
    "weights cut short": cut,
    "weights outside the folder": outside_index,
    "no tokenizer": lambda folder: [path.unlink() for path in folder.glob("tokenizer*")] and None,
    "a config that is no JSON": lambda folder: (folder / "config.json").write_text("{" * 5_000) and None,
    "weights of NaN": lambda folder: scaled(weights_of(folder), float("nan")),
}


def base_attack(name: str) -> Callable[[Bench, Path], None]:
    """Return an attack by a base model that is trained on."""

    def attack(bench: Bench, folder: Path) -> None:
        hostile = base(bench, folder)
        BASES[name](hostile)
        command = finetune_command(bench, folder / "out", "text", "--set", f"base_model={hostile}")
        ran = bench.run(command, folder, memory=3_000_000_000)
        no_code(folder, ran)
        if name == "weights of NaN" and ran.code == 0:
            raise wrong("a training whose loss is NaN succeeded")
        if ran.code and "rror" not in ran.said:
            raise wrong(f"exit {ran.code} without a message: {last_line(ran.said)}")

    return attack


# Adapters.


def adapter(bench: Bench, folder: Path, model: Path | None = None) -> Path:
    """Return a copy of an adapter, trained on a base of its own if one is given."""
    if model is None:
        shutil.copytree(trained(bench)[0], folder / "adapter")
    else:
        bench.done(
            finetune_command(bench, folder / "adapter", "text", "--set", f"base_model={model}"), folder
        )
    return folder / "adapter"


CHANGES: dict[str, Callable[[Path], None]] = {
    "other weights": lambda folder: scaled(weights_of(folder), 1.3),
    "another chat template": template(
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    ),
    "another tokenizer": lambda folder: other_tokenizer(folder),
}


def other_tokenizer(folder: Path) -> None:
    """Exchange two tokens of a vocabulary."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, dict):
        a, b = [token for token in vocabulary if len(token) == 1 and token.isalpha()][:2]
        vocabulary[a], vocabulary[b] = vocabulary[b], vocabulary[a]
    else:
        vocabulary[-1], vocabulary[-2] = vocabulary[-2], vocabulary[-1]
    path.write_text(json.dumps(content))


def changed_base(bench: Bench, folder: Path) -> Sequence[Finding]:
    """A base model that is changed after an adapter was trained on it."""
    findings = []
    for name, change in CHANGES.items():
        inner = folder / name.replace(" ", "-")
        inner.mkdir()
        model = base(bench, inner)
        trained_on = adapter(bench, inner, model)
        change(model)
        for what, command in {
            "evaluate": evaluate_command(bench, inner / "results", trained_on, *FEW),
            "merge": ["caslie_model", "merge", str(trained_on), "--out", str(inner / "merged")],
        }.items():

            def check(command: list[str] = command, inner: Path = inner) -> None:
                if bench.run(command, inner).code == 0:
                    raise wrong("an adapter was used on a base that it was not trained on")

            findings.append(found(f"{what}: a base with {name}", check))
    return findings


def hostile_adapters(bench: Bench, folder: Path) -> Sequence[Finding]:
    """Adapter folders with code, or numbers that are none."""
    changes: dict[str, Callable[[Path], None]] = {
        "weights as a pickle": lambda one: (
            weights_of(one).unlink(),
            (one / "adapter_model.bin").write_bytes(pickle.dumps(Planted(one / "PWNED"))),
        )[0],
        "a prompt that leaves its sandbox": lambda one: write_prompts(
            one, ESCAPES.replace("PLACE", str(one / "PWNED"))
        ),
        "a prompt without end": lambda one: write_prompts(one, ENDLESS),
        "a Python object in its config": lambda one: with_object(one),
        "weights of NaN": lambda one: scaled(weights_of(one), float("nan")),
        "weights cut short": cut,
        "a config that is no JSON": lambda one: (
            (one / "adapter_config.json").write_text("[" * 9_000) and None
        ),
    }
    findings = []
    for name, change in changes.items():
        inner = folder / name.replace(" ", "-")
        inner.mkdir()

        def check(inner: Path = inner, change: Callable[[Path], None] = change, name: str = name) -> None:
            change(adapter(bench, inner))
            ran = bench.run(
                evaluate_command(bench, inner / "results", inner / "adapter", *FEW), inner, limit=60
            )
            no_code(inner, ran)
            if name == "weights of NaN":
                no_answers(inner / "results", ran)
            # `merge` reads the same folder.
            ran = bench.run(
                ["caslie_model", "merge", str(inner / "adapter"), "--out", "merged"], inner, limit=60
            )
            no_code(inner, ran)

        findings.append(found(f"an adapter with {name}", check))
    return findings


def write_prompts(folder: Path, text: str) -> None:
    for path in (folder / "prompts").glob("*.j2"):
        path.write_text(text)


def with_object(folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_text(path.read_text() + f"x: !!python/object/apply:builtins.open ['{folder / 'PWNED'}', w]\n")


def no_answers(results: Path, ran: Ran) -> None:
    """Raise a fault where scores that are no numbers were taken for answers."""
    if ran.code:
        return
    try:
        rows = rows_of(results / "predictions.jsonl")
        json.loads(
            (results / "metrics.json").read_text(),
            parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)),
        )
    except ValueError as error:
        raise wrong(f"what was written is no JSON: {error}") from error
    answered = sum(row["prediction"] is not None for row in rows)
    if answered:
        raise wrong(f"{answered} of {len(rows)} answers from scores that are no numbers")


def no_finite_loss(bench: Bench, folder: Path) -> Sequence[Finding]:
    """Trainings whose loss becomes NaN."""
    # With 1e30 the norms of an image-text model make 0 of its huge states: its loss is bad, but a number.
    steps = ("--set", "lr=1e37", "--set", "max_grad_norm=1e30", "--set", "warmup=0")
    findings = []
    for fusion in ("text", "xattn"):
        out = folder / fusion
        more = (*steps, "--set", "lr_connector=1e37", "--set", "lr_gates=1e37")

        def check(out: Path = out, fusion: str = fusion, more: tuple[str, ...] = more) -> None:
            ran = bench.run(finetune_command(bench, out, fusion, *more), folder)
            if ran.code == 0:
                raise wrong("the training succeeded")
            if "step" not in ran.said:
                raise wrong(f"the message does not say the step: {last_line(ran.said)}")
            if bench.run(evaluate_command(bench, folder / f"{fusion}-results", out, *FEW), folder).code == 0:
                raise wrong("the training failed, and its folder is a finished adapter")

        findings.append(found(f"finetune {fusion}: a loss that becomes NaN", check))
    return findings


# Answer logs.


def answer_logs(bench: Bench, folder: Path) -> Sequence[Finding]:
    """Logs of an evaluation that were damaged before it goes on."""
    model = trained(bench)[0]

    def make() -> Path:
        out = bench.scratch / "evaluated-whole"
        bench.done(evaluate_command(bench, out, model), bench.scratch)
        return out

    whole = bench.once("evaluated whole", make)
    lines = (whole / "predictions.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    damages: dict[str, list[str]] = {
        "a torn last line": [*lines[:4], lines[4][:20]],
        "a line that is no JSON": [*lines[:2], "{{{", *lines[2:4], ""],
        "NaN": [*lines[:2], json.dumps({**first, "scores": {"A": float("nan")}, "prediction": "A"}), ""],
        "a line twice": [*lines[:3], lines[0], ""],
        "another sample": [*lines[:3], json.dumps({**first, "id": OTHER}), ""],
        "a prediction that is no option": [json.dumps({**first, "prediction": "\x1b[31mZ"}), *lines[1:3], ""],
        "a prediction that is a list": [json.dumps({**first, "prediction": [["A"]] * 9}), *lines[1:3], ""],
        "a prediction of 50 MB": [json.dumps({**first, "prediction": "A" * 50_000_000}), *lines[1:3], ""],
        "bytes that are not UTF-8": [*lines[:3], '{"id": "\udcff"}', ""],
        "no header": [*lines[:3], ""],
    }
    findings = []
    for name, content in damages.items():
        out = folder / name.replace(" ", "-")
        shutil.copytree(whole, out)
        (out / "predictions.jsonl").write_bytes("\n".join(content).encode(errors="surrogateescape"))
        for table in ("metrics.json", "metrics.md"):
            (out / table).unlink()
        if name == "no header":
            (out / "predictions.header.json").unlink()

        def check(out: Path = out) -> None:
            ran = bench.run(evaluate_command(bench, out, model), folder)
            if ran.code:
                bench.done(evaluate_command(bench, out, model, "--overwrite"), folder)
            # A log may hold answers to samples of an evaluation with a larger limit.
            kept = [row for row in rows_of(out / "predictions.jsonl") if row["id"] != OTHER]
            (out / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
            check_answers(bench, out)

        findings.append(found(f"an answer log with {name}", check))
    return findings


def names(bench: Bench, folder: Path) -> Sequence[Finding]:
    """Names of models that are not there, with no network."""
    options = {
        "a base model": finetune_command(bench, folder / "a", "text", "--set", "base_model=nobody/nothing"),
        "a base model with dots": finetune_command(
            bench, folder / "b", "text", "--set", "base_model=../../etc/passwd"
        ),
        "an encoder": finetune_command(
            bench, folder / "c", "xattn", "--set", "vision.encoder=nobody/nothing"
        ),
        "a package": finetune_command(bench, folder / "d", "text", "--set", "base_model=package:os"),
        "an adapter": evaluate_command(bench, folder / "e", Path("nobody/nothing")),
    }

    def check(command: list[str]) -> None:
        ran = bench.run(command, folder, limit=60)
        if ran.code == 0:
            raise wrong("exit 0")
        if ran.seconds > 20:
            raise wrong(f"refused after {ran.seconds:.0f} s")

    return [
        found(f"{name} that is not there", lambda command=command: check(command))
        for name, command in options.items()
    ]


def merged_alike(bench: Bench, folder: Path) -> None:
    """An adapter and the same one merged answer alike."""
    before = digest(trained(bench)[0])
    answers = []
    for name, options in (("adapter", [trained(bench)[0]]), ("merged", [merged(bench), "--base-only"])):
        out = folder / name
        bench.done(evaluate_command(bench, out, options[0], *FEW, *options[1:]), folder)  # type: ignore[arg-type]
        answers.append({row["id"]: row["scores"] for row in rows_of(out / "predictions.jsonl")})
    for sample, scores in answers[0].items():
        for label, score in scores.items():
            if abs(score - answers[1].get(sample, {}).get(label, 1e9)) > 0.05:
                raise Fault("wrong", f"sample {sample}: the merged model scores another way")
    if digest(trained(bench)[0]) != before:
        raise lost("the adapter was changed by its own evaluation")


def attacks(bench: Bench) -> list[Attack]:
    """Return the attacks of this group."""
    return [
        *(
            Attack(GROUP, f"a base model with {name}", base_attack(name), quick=name == "weights as a pickle")
            for name in BASES
        ),
        Attack(GROUP, "changed bases", changed_base),
        Attack(GROUP, "adapters", hostile_adapters),
        Attack(GROUP, "no finite loss", no_finite_loss, quick=True),
        Attack(GROUP, "answer logs", answer_logs),
        Attack(GROUP, "names", names),
        Attack(GROUP, "merged and unmerged", merged_alike),
    ]
