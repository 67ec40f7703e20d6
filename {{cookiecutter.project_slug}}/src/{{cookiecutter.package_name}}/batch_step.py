"""What each process on a cluster does: `init` once, then `run` for one mini-batch of files after another.

Scores are written on the node, and copied to the step's output when a file is done. What the service gets back is the
name of each file that was; a file that is not among them counts towards BATCH_ERROR_THRESHOLD.
"""

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

from . import batch_output
from .batch import load_chosen
from .batch_input import FORMATS, below, form, shown
from .batch_output import Output
from .choose import add_choice
from .program import set_up_logging
from .score_file import move

GIVEN = "given.json"

log = logging.getLogger(__name__)


class Worker:
    """One process, with the model that it scores with."""

    def __init__(self, words: list[str]) -> None:
        arguments = parse(words)
        self.rows, self.scored = arguments.rows, arguments.scored
        self.service = load_chosen(arguments)
        if not (self.scored / GIVEN).exists():  # what comes later is not asked for
            with batch_output.working(self.scored) as work:
                (work / GIVEN).write_text(json.dumps(sorted(below(self.rows))), encoding="utf-8")
                move(work / GIVEN, self.scored / GIVEN)
        log.info("Scoring with version %d of %s.", self.service.version, self.service.name)

    def run(self, files: list[str]) -> list[str]:
        """Score files, and return the names of those that could be; what is no file of rows is done at once."""
        return [file for file in files if form(Path(file)) not in FORMATS or self.score(Path(file))]

    def score(self, source: Path) -> bool:
        """Score a file, and tell whether that went well."""
        name = source.relative_to(self.rows if source.is_relative_to(self.rows) else source.anchor).as_posix()
        with tempfile.TemporaryDirectory() as folder:
            output = Output(Path(folder))
            wanted = batch_output.wanted(self.service, output, source, name)._replace(source=name)
            record = batch_output.score(self.service, output, source, wanted)
            batch_output.copy(output, record, self.scored)
        log.info("%s: %d rows, %d rejected. %s", shown(name), record.rows, record.rejected, record.error)
        return not record.error


def parse(words: list[str]) -> argparse.Namespace:
    """Read the arguments that are ours, among those of the service."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", required=True, type=Path, help="folder that all inputs are in")
    parser.add_argument("--scored", required=True, type=Path, help="folder to write to")
    add_choice(parser)
    return parser.parse_known_args(words)[0]


workers: list[Worker] = []


def init() -> None:
    set_up_logging()
    workers[:] = [Worker(sys.argv[1:])]


def run(mini_batch: list[str]) -> list[str]:
    return workers[0].run(mini_batch)
