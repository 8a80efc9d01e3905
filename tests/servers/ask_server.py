"""Ask a stand-in server numbered questions and log the answers: a process that a test can kill.

Usage: ask_server.py URL FOLDER COUNT CONCURRENCY
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

from caslie_model.inference import server_client
from caslie_model.inference.prediction_log import open_predictions
from caslie_model.inference.server import open_server
from tests.servers.chat_questions import Pictures, question


def main(url: str, folder: str, count: str, concurrency: str) -> None:
    server_client.BACKOFF_BASE = 0.05
    settings = SimpleNamespace(
        model="openai:tiny", server=url, answers="letter", concurrency=int(concurrency), request_timeout=4.0
    )
    predictor = open_server(settings, Pictures())
    with open_predictions(Path(folder), predictor.provenance, overwrite=False) as log:
        prepared = predictor.prepare([question(number) for number in range(int(count))])
        missing = [each for each in prepared if each.question.key not in log.records]
        for group in predictor.answer(missing):
            log.append(
                {"id": each.question.key[0], "prediction": prediction.label, "text": prediction.text}
                for each, prediction in group
            )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
