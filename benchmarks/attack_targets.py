"""The commands that kills and full disks disturb: how each is run, gone on with, and checked, for `attack.py`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attack_pairs import check_answers, check_dataset, images_of, merged
from attack_runs import Bench, Running, beside, difference, digest, lost, wrong
from attack_shop import (
    PRODUCTS,
    build_command,
    built,
    built_digest,
    dataset,
    encoded,
    evaluate_command,
    finetune_command,
    picture,
    shop,
    trained,
)

TOKEN, USER = "hf_attack", "attacker"
RAW_BYTES = 1_500_000  # of each file that is pulled


@dataclass
class Prepared:
    """A command that is about to be disturbed.

    again: the command that goes on. check: raises a fault where the result is not that of an undisturbed command.
    ready: whether the moment has come from which on it is worth to disturb it; None: from the start. spread: seconds
    after that moment within which it is. close: what is to be done at the end.
    """

    command: list[str]
    check: Callable[[], None]
    again: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None
    spread: float = 1.0
    release: Callable[[], None] = lambda: None

    def go_on(self, bench: Bench, folder: Path) -> None:
        """Run the command that goes on, and check the result."""
        bench.done(self.again or self.command, folder, environment=self.environment)
        self.check()

    def disturbable(self, running: Running) -> bool:
        """Wait for the moment; return whether the command still runs."""
        return self.ready is None or running.wait_until(self.ready)


Prepare = Callable[[Bench, Path], Any]


@contextmanager
def build(bench: Bench, folder: Path) -> Iterator[Prepared]:
    """A whole build."""
    command = build_command(bench, folder / "out", folder / "workspace", workers=2)
    seconds = built(bench)[1]
    yield Prepared(command, lambda: check_dataset(bench, folder, [built_digest(bench)]), spread=seconds)


@contextmanager
def assemble(bench: Bench, folder: Path) -> Iterator[Prepared]:
    """The end of a build, from the moment at which there is something beside --out."""
    shutil.copytree(built(bench)[0] / "workspace", folder / "workspace")
    command = build_command(bench, folder / "out", folder / "workspace")
    yield Prepared(
        command,
        lambda: check_dataset(bench, folder, [built_digest(bench)]),
        ready=lambda: bool(beside(folder, "workspace")),
    )


@contextmanager
def replace(bench: Bench, folder: Path) -> Iterator[Prepared]:
    """A build that replaces an older dataset of another recipe, which must be whole until then."""
    shutil.copytree(built(bench)[0] / "workspace", folder / "workspace")
    shutil.copytree(built(bench, "other")[0] / "out", folder / "out")

    def check() -> None:
        check_dataset(bench, folder, [built_digest(bench)])

    command = build_command(bench, folder / "out", folder / "workspace")
    yield Prepared(command, check, ready=lambda: bool(beside(folder, "workspace", "out")))


@contextmanager
def images(bench: Bench, folder: Path) -> Iterator[Prepared]:
    """Images from a slow server."""
    port = image_server(bench)
    (folder / "urls.csv").write_text(
        "".join(["image_url\n", *(f"http://127.0.0.1:{port}/{n}.png\n" for n in range(40))])
    )
    command = [
        *("mmec", "images", "urls.csv", "--out", "out", "--workspace", "workspace", "--workers", "1"),
        *("--set", "fetch.enabled=true", "--set", "fetch.contact=https://example.com/attack"),
        *("--set", "fetch.private_networks=[127.0.0.1/32]", "--set", "fetch.requests_per_second=1000"),
    ]

    def check() -> None:
        found = images_of(folder / "out")
        kept = [row for row in found.values() if row["status"] in ("kept", "ok")]  # type: ignore[index]
        if len(found) != 40 or len(kept) != 40:
            raise lost(f"{len(kept)} of 40 images are kept")
        if left := beside(folder, "out", "workspace", "urls.csv"):
            raise wrong(f"left beside --out: {', '.join(left)}")

    yield Prepared(command, check, ready=(folder / "workspace" / "fetched").exists, spread=1.2)


def image_server(bench: Bench) -> int:
    """Return the port of a server that answers each request after a tenth of a second."""

    def make() -> int:
        from tests.servers.image_server import Answer, serving

        server = serving()
        state = server.__enter__()
        bench.servers.append(server)
        kind = (("Content-Type", "image/png"),)
        state.routes |= {
            f"/{n}.png": Answer(200, encoded(picture(1, n)), kind, delay=0.1) for n in range(PRODUCTS)
        }
        return state.port

    return bench.once("image server", make)


@contextmanager
def pull(bench: Bench, folder: Path) -> Iterator[Prepared]:
    """Raw files from a mirror that halts in the middle."""
    from tests.servers.raw_file_server import serving

    names = [f"amazonqa/{part}-qar.jsonl" for part in ("train", "val", "test")]
    numbers = bench.moments(f"pull {folder.name}")
    (folder / "mirror" / "amazonqa").mkdir(parents=True)
    for name in names:
        lines = b"".join(
            b'{"questionText": "%d"}\n' % numbers.getrandbits(64) for _ in range(RAW_BYTES // 40)
        )
        (folder / "mirror" / name).write_bytes(lines)
    with serving(folder / "mirror") as server:
        server.halt_after = numbers.randrange(10_000, 2 * RAW_BYTES)
        command = [
            *(
                "mmec",
                "pull",
                "--recipe",
                "paper",
                "--data",
                "raw",
                "--only",
                "amazonqa",
                "--mirror",
                server.url,
            ),
            *("--set", "pull.space_margin=0"),
        ]

        def check() -> None:
            right = digest(folder / "mirror")
            found = {
                name: value
                for name, value in digest(folder / "raw").items()
                if not name.startswith(".mmec-pull")
            }
            if left := sorted(found.keys() - right.keys()):
                raise wrong(f"left in the raw folder: {', '.join(left[:2])}")
            if differing := difference(found, right):
                raise lost(differing)

        yield Prepared(command, check, ready=server.halted.is_set, spread=0.3, release=server.release)


@contextmanager
def features(bench: Bench, folder: Path) -> Iterator[Prepared]:
    """Features of images, into a cache."""
    cache = {"CASLIE_MODEL_CACHE": str(folder / "cache")}
    command = [
        *(
            "caslie_model",
            "features",
            "--data",
            str(dataset(bench)),
            "--encoder",
            "random:tiny-vit",
            "--batch-size",
            "4",
        )
    ]

    def undisturbed() -> dict[bytes, bytes]:
        path = bench.scratch / "cache"
        bench.done(command, bench.scratch, environment={"CASLIE_MODEL_CACHE": str(path)})
        return cached(path)

    right = bench.once("features", undisturbed)

    def check() -> None:
        found = cached(folder / "cache")
        if found != right:
            raise lost(f"{len(found)} features, other than the {len(right)} of an undisturbed command")

    yield Prepared(command, check, environment=cache, ready=(folder / "cache").exists, spread=1.5)


def cached(folder: Path) -> dict[bytes, bytes]:
    """Return the features of a cache by the hash of their image."""
    from safetensors.numpy import load_file

    found: dict[bytes, bytes] = {}
    for path in sorted(folder.rglob("*.safetensors")):
        content = load_file(path)
        if "features" in content:
            for key, values in zip(content["keys"], content["features"], strict=True):
                found[key.tobytes()] = values.tobytes()
    return found


def weights(folder: Path) -> dict[str, str]:
    """Return the digest of what a training is for: the weights, and what they belong to."""
    found = {
        name: value
        for pattern in ("*.safetensors", "prompts/*")
        for name, value in digest(folder, pattern).items()
    }
    for path in folder.glob("*config*.json"):
        # peft writes the names of layers in the order of a set.
        content = json.loads(path.read_text())
        found[path.name] = json.dumps(
            {k: sorted(v) if isinstance(v, list) else v for k, v in sorted(content.items())}
        )
    return found


LONG = ("--set", "samples_per_task=48", "--set", "checkpoint_every=4")


@contextmanager
def finetune(bench: Bench, folder: Path) -> Iterator[Prepared]:
    """A training with checkpoints."""

    def make() -> dict[str, str]:
        out = bench.scratch / "trained-long"
        bench.done(finetune_command(bench, out, "text", *LONG), bench.scratch)
        return weights(out)

    right = bench.once("trained long", make)
    command = finetune_command(bench, folder / "out", "text", *LONG)

    def check() -> None:
        if differing := difference(weights(folder / "out"), right):
            raise lost(f"other weights than those of an undisturbed training ({differing})")

    yield Prepared(command, check, [*command, "--resume"], ready=(folder / "out").exists, spread=3.0)


@contextmanager
def align(bench: Bench, folder: Path) -> Iterator[Prepared]:
    """An alignment with checkpoints."""

    def command(out: Path) -> list[str]:
        return [
            *(
                "caslie_model",
                "align",
                "--data",
                str(dataset(bench)),
                "--catalogue",
                str(shop(bench) / "products.csv"),
            ),
            *("--attributes", "colour", "--preset", "tiny", "--out", str(out), "--set", "checkpoint_every=2"),
            *("--set", "scored_images=4"),
        ]

    def make() -> dict[str, str]:
        out = bench.scratch / "aligned"
        bench.done(command(out), bench.scratch)
        return weights(out)

    right = bench.once("aligned", make)

    def check() -> None:
        if differing := difference(weights(folder / "out"), right):
            raise lost(f"other weights than those of an undisturbed alignment ({differing})")

    out = folder / "out"
    yield Prepared(command(out), check, [*command(out), "--resume"], ready=out.exists, spread=2.0)


@contextmanager
def evaluate(bench: Bench, folder: Path) -> Iterator[Prepared]:
    """An evaluation, whose log of answers is continued."""
    command = evaluate_command(bench, folder / "out", trained(bench)[0])
    yield Prepared(
        command, lambda: check_answers(bench, folder / "out"), ready=(folder / "out").exists, spread=2.5
    )


@contextmanager
def merge(bench: Bench, folder: Path) -> Iterator[Prepared]:
    """An adapter and its base model become one folder."""
    right = digest(merged(bench))
    command = ["caslie_model", "merge", str(trained(bench)[0]), "--out", str(folder / "out")]

    def check() -> None:
        if differing := difference(digest(folder / "out"), right):
            raise lost(differing)
        if left := beside(folder, "out"):
            raise wrong(f"left beside --out: {', '.join(left)}")

    yield Prepared(command, check, ready=lambda: bool(list(folder.iterdir())), spread=1.0)


@contextmanager
def push(bench: Bench, folder: Path) -> Iterator[Prepared]:
    """A dataset goes to a stand-in for the Hub."""
    from tests.servers.hub_server import running_hub

    with running_hub({TOKEN: USER}) as hub:
        place = {
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": TOKEN,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(folder / "hub"),
        }
        command = ["mmec", "push-to-hub", str(dataset(bench)), "--repo", f"{USER}/shop", "--private"]

        def check() -> None:
            there = hub.files(f"{USER}/shop")
            here = {name: (dataset(bench) / name).read_bytes() for name in digest(dataset(bench))}
            if there != here:
                raise lost(f"{len(there)} files on the Hub, other than the {len(here)} of the folder")

        yield Prepared(command, check, environment=place, ready=lambda: bool(hub.requests), spread=1.5)


TARGETS: dict[str, Prepare] = {
    "build": build,
    "assemble": assemble,
    "replace a dataset": replace,
    "images": images,
    "pull": pull,
    "features": features,
    "finetune": finetune,
    "align": align,
    "evaluate": evaluate,
    "merge": merge,
    "push": push,
}
