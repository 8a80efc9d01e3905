"""Text in an image, read by the weights that the package `rapidocr` carries.

What is read is data of whoever made the image. It is cleaned and bounded here, and quoted where it enters a caption.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from caslie_model.errors import ModelError
from mmecinstruct.text.normalise import normalise_text

if TYPE_CHECKING:
    from PIL.Image import Image

PACKAGES = ("rapidocr", "onnxruntime")
_DETECTOR = "PP-OCRv6_det_small.onnx"
_RECOGNISER = "PP-OCRv6_rec_small.onnx"
_THREADS = 1
# Pixels of the longer side at most, and of the shorter one at least.
_SIDE = 736
_LEAST_SIDE = 16
_MAX_LINES = 100
# The recogniser's probability, the letters and digits of a line, and its height as a share of the image's longer side.
# A whole product is often taken for one large letter, and single letters are read into edges.
_SURE = 0.9
_LETTERS = 3
_HIGHEST = 0.35
_MAX_WORDS = 12
_MAX_CHARACTERS = 80


class TextReader:
    """Reads text of Latin and Chinese letters, digits and signs, on one thread; asks no network."""

    def __init__(self) -> None:
        """Load the weights.

        Raises:
            ModelError: If the package does not carry them, or cannot be loaded.
        """
        detector, recogniser = _weights(_DETECTOR), _weights(_RECOGNISER)
        try:
            import cv2
            import onnxruntime
            from rapidocr import RapidOCR
        except ImportError as error:
            raise ModelError(
                f"rapidocr cannot be loaded ({error}); install it anew, or leave `text` out of attribute_parts"
            ) from error
        # Windows builds report usage; others have nothing to turn off.
        onnxruntime.disable_telemetry_events()
        cv2.setNumThreads(_THREADS)
        try:
            # Without the letters in the weights, rapidocr would download a list of them.
            letters = onnxruntime.InferenceSession(str(recogniser), providers=["CPUExecutionProvider"])
            if "character" not in letters.get_modelmeta().custom_metadata_map:
                raise ValueError(f"{_RECOGNISER} has no list of letters")
            self._engine = RapidOCR(
                params={
                    "Global.log_level": "critical",
                    "Global.use_cls": False,
                    "Global.text_score": _SURE,
                    "EngineConfig.onnxruntime.intra_op_num_threads": _THREADS,
                    "EngineConfig.onnxruntime.inter_op_num_threads": _THREADS,
                    # Weights that are given as files are never downloaded.
                    "Det.model_path": str(detector),
                    "Rec.model_path": str(recogniser),
                    "Det.limit_type": "max",
                    "Det.limit_side_len": _SIDE,
                    "Det.max_candidates": _MAX_LINES,
                }
            )
        except Exception as error:  # libraries of others raise whatever they like
            raise ModelError(
                f"rapidocr {version('rapidocr')} does not read text with the weights that it carries ({error}); "
                "install another version, or leave `text` out of attribute_parts"
            ) from error

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Versions that decide what is read."""
        return {package: version(package) for package in PACKAGES}

    def read(self, image: Image) -> str:
        """Return the text of an image, the largest lines that fit into 12 words and 80 characters, in reading order.

        Args:
            image: In RGB.

        Returns:
            Text on one line without control characters and quotation marks; empty if there is none.

        Raises:
            ModelError: If reading fails.
        """
        small = image.copy()
        small.thumbnail((_SIDE, _SIDE))
        if min(small.size) < _LEAST_SIDE:
            return ""
        try:
            # OpenCV's order of channels.
            found = self._engine(np.ascontiguousarray(np.asarray(small)[:, :, ::-1]))
            lines = [] if found.txts is None else list(zip(found.txts, found.boxes, strict=True))
        except Exception as error:  # as above
            raise ModelError(f"text cannot be read ({error})") from error
        heights = [float(np.linalg.norm(box[3] - box[0])) / max(small.size) for _, box in lines]
        return shown_text([line for line, _ in lines], heights)


def shown_text(lines: Sequence[str], heights: Sequence[float]) -> str:
    """Return what a caption shows of the lines that were read.

    Args:
        lines: In reading order, as they were read.
        heights: Their heights as shares of the image's longer side.
    """
    clean = [normalise_text(line.translate(_QUOTATION_MARKS)) for line in lines]
    chosen: dict[str, int] = {}
    words = characters = 0
    for place in sorted(range(len(clean)), key=lambda place: (-heights[place], place)):
        line, size = clean[place], len(clean[place].split())
        if sum(map(str.isalnum, line)) < _LETTERS or heights[place] > _HIGHEST or line in chosen:
            continue
        if words + size <= _MAX_WORDS and characters + len(line) < _MAX_CHARACTERS:
            chosen[line] = place
            words, characters = words + size, characters + len(line) + 1
    return " ".join(sorted(chosen, key=chosen.__getitem__))


# Text cannot end its quotation.
_QUOTATION_MARKS = str.maketrans(dict.fromkeys('"“”„‟«»‹›＂〝〞〟「」『』', "'"))


def _weights(name: str) -> Path:
    spec = importlib.util.find_spec("rapidocr")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if (file := Path(folder) / "models" / name).is_file():
            return file
    raise ModelError(
        f"rapidocr does not carry {name}; `pip install 'rapidocr>=3.10'`, or leave `text` out of attribute_parts: "
        "nothing is downloaded"
    )
