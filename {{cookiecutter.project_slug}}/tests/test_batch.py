"""Scoring files: every row has its score or its reason, whatever the files are like."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import Workspace
from mlflow import MlflowClient
from polars.exceptions import PanicException

from {{ cookiecutter.package_name }} import (
    batch,
    batch_input,
    batch_output,
    data,
    parameters,
    registry,
    score_file,
    scoring,
    train,
)
from {{ cookiecutter.package_name }}.batch_output import Output
from {{ cookiecutter.package_name }}.model import as_served
from {{ cookiecutter.package_name }}.pipeline import MODEL_NAME
from {{ cookiecutter.package_name }}.program import UserError
from {{ cookiecutter.package_name }}.sample import sample
from {{ cookiecutter.package_name }}.schema import FEATURES
from {{ cookiecutter.package_name }}.scoring import Service

FIRST, LAST = FEATURES[0], FEATURES[-1]
ROWS = sample()[list(FEATURES)].astype(float).head(442)


@pytest.fixture
def service(served: Path) -> Service:
    return scoring.load(served)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    (tmp_path / "inputs").mkdir()
    return tmp_path / "inputs"


def rows_with_ids() -> pd.DataFrame:
    return ROWS.assign(who=[f"0{number}" for number in range(len(ROWS))])


def run(service: Service, inputs: Path | str, output: Path, **options: Any) -> batch.Outcome:
    return batch.run(service, str(inputs), Output(output, **options))


def write(frame: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)


def read(path: Path) -> pl.DataFrame:
    return pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_scores_are_what_the_fitted_model_predicts(
    workspace_with_champion: Workspace, service: Service, inputs: Path, tmp_path: Path, ending: str
) -> None:
    learn, _ = train.split(data.read(Path("data")))
    fitted = train.fit(learn, parameters.read().training)
    write(ROWS, inputs / f"all{ending}")

    outcome = run(service, inputs, tmp_path / "out")

    scores = read(tmp_path / "out" / "scores" / f"all{ending}")
    np.testing.assert_allclose(scores["score"], as_served(fitted)(ROWS.to_numpy()), rtol=1e-9)
    assert scores["row"].to_list() == list(range(1, len(ROWS) + 1))
    assert scores.select("model_name", "model_version").unique().rows() == [(MODEL_NAME, 1)]
    assert (outcome.records[0].rows, outcome.records[0].rejected, outcome.skipped) == (len(ROWS), 0, 0)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_scores_belong_to_their_rows_in_shuffled_files_of_unequal_length(
    service: Service, inputs: Path, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_input, "ROWS_AT_ONCE", 50)
    monkeypatch.setattr(batch_input, "BYTES_AT_ONCE", 0)
    shuffled = rows_with_ids().sample(frac=1, random_state=0)
    for number, (start, end) in enumerate([(0, 5), (5, 9), (9, 10), (10, 400), (400, 442)]):
        write(shuffled[start:end], inputs / f"part {number}{ending}")

    run(service, inputs, tmp_path / "out", keep_features=True)

    files = sorted((tmp_path / "out" / "scores").iterdir())
    scores = pl.concat([pl.read_csv(file, infer_schema=False) if ending == ".csv" else read(file) for file in files])
    assert sorted(scores["who"]) == sorted(shuffled["who"])
    features = scores.select(pl.col(FEATURES).cast(float)).to_numpy()
    np.testing.assert_array_equal(features, shuffled[list(FEATURES)])
    np.testing.assert_allclose(scores["score"].cast(float), service.model.predict(features), rtol=1e-12)


def test_rows_5_to_9_have_scores(service: Service, inputs: Path, tmp_path: Path) -> None:
    write(ROWS[5:10], inputs / "slice.parquet")

    run(service, inputs / "slice.parquet", tmp_path / "out")

    scores = read(tmp_path / "out" / "scores" / "slice.parquet")
    np.testing.assert_allclose(scores["score"], service.model.predict(ROWS[5:10]), rtol=1e-12)


def test_a_classifier_gives_labels(service: Service, inputs: Path, tmp_path: Path) -> None:
    write(ROWS, inputs / "all.csv")

    run(service, inputs, tmp_path / "out")

    scores, labels, threshold = (
        read(tmp_path / "out" / "scores" / "all.csv"),
        service.model.labels,
        service.model.threshold,
    )
    if labels is None or threshold is None:
        assert "label" not in scores.columns
    else:
        assert scores["label"].to_list() == [labels[score >= threshold] for score in scores["score"]]


VALUES = {
    "empty": ("", f"{FIRST} is empty"),
    "blank": ("  ", f"{FIRST} is empty"),
    "text": ("abc", f"{FIRST} is not a number: abc"),
    "NaN": ("NaN", f"{FIRST} is not finite"),
    "infinite": ("-inf", f"{FIRST} is not finite"),
    "a comma": ('"1,5"', f"{FIRST} is not a number: 1,5"),
    "a word": ("true", f"{FIRST} is not a number: true"),
}


@pytest.mark.parametrize("value", VALUES)
def test_a_row_that_cannot_be_scored_is_set_apart_with_its_reason(
    service: Service, inputs: Path, tmp_path: Path, value: str
) -> None:
    written, reason = VALUES[value]
    lines = rows_with_ids().head(200).to_csv(index=False).splitlines()
    lines[7] = written + lines[7][lines[7].index(",") :]
    (inputs / "one.csv").write_text("\n".join(lines), encoding="utf-8")

    outcome = run(service, inputs, tmp_path / "out")

    rejected = pl.read_csv(tmp_path / "out" / "rejected" / "one.csv.csv", infer_schema=False)
    assert rejected.select("row", "reason", "who").rows() == [("7", reason, "06")]
    scores = pl.read_csv(tmp_path / "out" / "scores" / "one.csv", infer_schema=False)
    assert scores["row"].to_list() == [str(row) for row in range(1, 201) if row != 7]
    assert scores["who"].to_list() == [f"0{row - 1}" for row in range(1, 201) if row != 7]
    assert (outcome.records[0].rows, outcome.records[0].rejected) == (199, 1)


def test_all_that_is_wrong_with_a_row_is_said(service: Service, inputs: Path, tmp_path: Path) -> None:
    frame = ROWS.head(3).copy()
    frame.loc[1, [FIRST, LAST]] = [None, np.inf]
    write(frame, inputs / "one.parquet")

    run(service, inputs, tmp_path / "out")

    rejected = pl.read_csv(tmp_path / "out" / "rejected" / "one.parquet.csv")
    assert rejected["reason"].to_list() == [f"{FIRST} is empty; {LAST} is not finite"]


@pytest.mark.parametrize("bad", [0, 1])
def test_blanks_around_numbers_and_blank_lines_do_no_harm(
    service: Service, inputs: Path, tmp_path: Path, bad: int
) -> None:
    lines = ROWS.head(3).to_csv(index=False).replace(",", ", ").splitlines()
    lines[0] = lines[0].replace(" ", "")
    lines += ["x" + "," * (len(FEATURES) - 1)] * bad
    (inputs / "one.csv").write_text("\ufeff" + "\r\n".join([*lines[:2], "", *lines[2:], ""]), encoding="utf-8")

    outcome = run(service, inputs, tmp_path / "out")

    scores = read(tmp_path / "out" / "scores" / "one.csv")
    assert scores["row"].to_list() == [1, 3, 4]
    np.testing.assert_allclose(scores["score"], service.model.predict(ROWS.head(3)), rtol=1e-12)
    assert (outcome.records[0].rows, outcome.records[0].rejected) == (3, bad)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_row_without_any_value_is_rejected(service: Service, inputs: Path, tmp_path: Path, ending: str) -> None:
    frame = pl.from_pandas(ROWS.head(3))
    empty = pl.concat([frame[:1], frame.clear(1), frame[1:]])
    getattr(empty, f"write_{ending[1:]}")(inputs / f"one{ending}")

    outcome = run(service, inputs, tmp_path / "out")

    assert (outcome.records[0].rows, outcome.records[0].rejected) == (3, 1)
    rejected = (tmp_path / "out" / "rejected" / f"one{ending}.csv").read_text(encoding="utf-8").splitlines()
    assert rejected[1].startswith(f"2,{FIRST} is empty; ")


def test_a_prediction_that_is_not_finite_is_no_score(service: Service, inputs: Path, tmp_path: Path) -> None:
    class Steep:
        columns, labels, threshold = service.model.columns, None, None

        def predict(self, rows: np.ndarray) -> np.ndarray:
            return np.where(np.arange(len(rows)) == 1, np.inf, 1.0)

    write(ROWS.head(3), inputs / "one.csv")

    run(Service(Steep(), "steep", 1), inputs, tmp_path / "out")  # type: ignore[arg-type]

    assert read(tmp_path / "out" / "scores" / "one.csv")["row"].to_list() == [1, 3]
    assert "too large" in (tmp_path / "out" / "rejected" / "one.csv.csv").read_text(encoding="utf-8")


def test_rejected_rows_of_all_pieces_are_in_one_file_that_goes_when_all_is_well(
    service: Service, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_input, "ROWS_AT_ONCE", 50)
    monkeypatch.setattr(batch_input, "BYTES_AT_ONCE", 0)
    frame = ROWS.copy()
    frame.loc[[1, 101, 201, 301], FIRST] = None
    frame.loc[[2, 102], FIRST] = 1e300
    rejected = tmp_path / "out" / "rejected" / "a.parquet.csv"

    class Steep:
        columns, labels, threshold = service.model.columns, None, None

        def predict(self, rows: np.ndarray) -> np.ndarray:
            return np.where(rows[:, 0] == 1e300, np.inf, 1.0)

    for repaired in (ROWS, None):
        write(frame, inputs / "a.parquet")
        run(Service(Steep(), "steep", 1), inputs, tmp_path / "out")  # type: ignore[arg-type]
        assert sorted(pl.read_csv(rejected)["row"]) == [2, 3, 102, 103, 202, 302]
        if repaired is None:
            (inputs / "a.parquet").write_bytes(b"")
        else:
            write(repaired, inputs / "a.parquet")
        run(service, inputs, tmp_path / "out")
        assert not rejected.exists()


def test_files_without_rows_and_with_one(service: Service, inputs: Path, tmp_path: Path) -> None:
    write(ROWS.head(0), inputs / "header.csv")
    write(ROWS.head(0), inputs / "none.parquet")
    write(ROWS.head(1), inputs / "one.csv")

    outcome = run(service, inputs, tmp_path / "out")

    assert [record.rows for record in outcome.records] == [0, 0, 1]
    assert {file.name: len(read(file)) for file in (tmp_path / "out" / "scores").iterdir()} == {
        "header.csv": 0,
        "none.parquet": 0,
        "one.csv": 1,
    }


def bad_file(path: Path, kind: str) -> None:
    frame = ROWS.head(5)
    match kind:
        case "empty":
            path.touch()
        case "missing column":
            write(frame.drop(columns=LAST), path)
        case "column there already":
            write(frame.assign(score=1), path)
        case "lists":
            write(frame.assign(**{FIRST: [[1.0]] * 5}), path.with_suffix(".parquet"))
        case "no parquet":
            path.with_suffix(".parquet").write_bytes(b"PAR1 and nothing of the kind PAR1")
        case "cut short":
            write(frame, path.with_suffix(".parquet"))
            content = path.with_suffix(".parquet").read_bytes()
            path.with_suffix(".parquet").write_bytes(content[: len(content) // 2])
        case "not UTF-8":
            path.write_bytes(ROWS.head(1).to_csv(index=False).encode().replace(FIRST.encode(), b"\xff", 1))
        case "a field too many":
            path.write_text(frame.to_csv(index=False) + "1," * len(FEATURES) + "1\n", encoding="utf-8")
        case "gone":
            path.symlink_to("nowhere")


BAD_FILES = {
    "empty": "cannot be read: empty CSV",
    "missing column": f"has no column {LAST}",
    "column there already": "has a column score already",
    "lists": f"column {FIRST} holds List",
    "no parquet": "cannot be read",
    "cut short": "cannot be read",
    "not UTF-8": "cannot be read|has no column",
    "a field too many": "cannot be read: found more fields",
    "gone": "cannot be read: No such file",
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_cannot_be_scored_keeps_no_other_from_it(
    service: Service, inputs: Path, tmp_path: Path, kind: str
) -> None:
    write(ROWS, inputs / "a.csv")
    write(ROWS, inputs / "z.csv")
    bad_file(inputs / "bad.csv", kind)

    outcome = run(service, inputs, tmp_path / "out")

    assert [record.rows for record in outcome.records] == [442, 0, 442]
    assert sorted(file.name for file in (tmp_path / "out" / "scores").iterdir()) == ["a.csv", "z.csv"]
    with pytest.raises(UserError, match=rf"1 of 3 files could not be scored:\n.*bad\.\w+.*({BAD_FILES[kind]})"):
        batch_output.check(outcome.records, max_rejected=1)


def panic(*_: object, **__: object) -> None:
    raise PanicException("left != right\nbacktrace")


def panic_later(frame: pl.LazyFrame, chunk_size: int) -> Iterator[pl.DataFrame]:
    yield from (frame.head(chunk_size).collect() for _ in range(3))
    panic()


def many(rows: int) -> pl.DataFrame:
    return pl.from_pandas(ROWS.head(1)).select(pl.all().repeat_by(rows).explode())


@pytest.mark.parametrize("sized", [("a.csv", 400_000, True), ("a.csv", 10, False), ("a.parquet", 600_000, True)])
def test_a_large_file_is_read_in_pieces_however_well_it_is_compressed(
    service: Service, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sized: tuple[str, int, bool]
) -> None:
    name, rows, in_pieces = sized
    getattr(many(rows), f"write_{name[2:]}")(inputs / name)
    output, score, pieces = Output(tmp_path / "out"), score_file.score, list[int]()

    def counted(service: Service, job: score_file.Job, piece: pl.DataFrame) -> Any:
        pieces.append(len(piece))
        return score(service, job, piece)

    monkeypatch.setattr(score_file, "score", counted)

    record = batch_output.score(
        service, output, inputs / name, batch_output.wanted(service, output, inputs / name, name)
    )

    assert (record.rows, sum(pieces), len(pieces) > 1) == (rows, rows, in_pieces)
    assert read(tmp_path / "out" / "scores" / name)["row"].is_sorted()


@pytest.mark.parametrize(
    "panics", [(pl, "scan_parquet", panic), (pl.LazyFrame, "collect_batches", panic_later)], ids=["first", "later"]
)
def test_a_file_at_which_polars_panics_keeps_no_other_from_it(
    service: Service, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, panics: tuple[object, str, object]
) -> None:
    monkeypatch.setattr(batch_input, "BYTES_AT_ONCE", 2**13)
    monkeypatch.setattr(*panics)
    write(ROWS.head(1), inputs / "a.csv")
    write(ROWS, inputs / "m.parquet")
    write(ROWS.head(1), inputs / "z.csv")

    outcome = run(service, inputs, tmp_path / "out")

    assert [record.rows for record in outcome.records] == [1, 0, 1]
    assert outcome.records[1].error == f"{inputs / 'm.parquet'} cannot be read: left != right."


FOR_PARQUET = {"list": [1], "struct": {"a": 1}, "bytes": b"x", "duration": timedelta(days=1)}


@pytest.mark.parametrize("kind", FOR_PARQUET)
def test_what_csv_cannot_hold_is_kept_in_parquet_and_fails_only_its_file_in_csv(
    service: Service, inputs: Path, tmp_path: Path, kind: str
) -> None:
    frame = pl.from_pandas(ROWS.head(3)).with_columns(pl.Series("more", [FOR_PARQUET[kind]] * 3))
    frame[1, FIRST] = None
    frame.write_parquet(inputs / "m.parquet")
    write(ROWS, inputs / "z.parquet")

    as_csv = run(service, inputs, tmp_path / "csv", ending=".csv")
    kept = run(service, inputs, tmp_path / "out")

    assert [record.rows for record in as_csv.records] == [0, 442]
    assert as_csv.records[0].error.endswith("CSV cannot hold column more: leave out --format csv.")
    assert [(record.rows, record.rejected) for record in kept.records] == [(2, 1), (442, 0)]
    assert read(tmp_path / "out" / "scores" / "m.parquet")["more"].to_list() == [FOR_PARQUET[kind]] * 2


def test_more_rejected_rows_than_allowed_are_an_error(service: Service, inputs: Path, tmp_path: Path) -> None:
    frame = ROWS.copy()
    frame.loc[:4, FIRST] = None
    write(frame, inputs / "one.csv")

    records = run(service, inputs, tmp_path / "out").records

    batch_output.check(records, max_rejected=5 / 442)
    with pytest.raises(UserError, match=r"1.13% of 442 rows were rejected, and at most 1.00% may be"):
        batch_output.check(records, max_rejected=0.01)


def test_what_is_scored_is_not_scored_again_unless_it_changed(service: Service, inputs: Path, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.csv", "d.csv"):
        write(ROWS, inputs / name)
    first = run(service, inputs, tmp_path / "out")
    write(ROWS.head(3), inputs / "b.csv")
    (tmp_path / "out" / "scores" / "c.csv").unlink()
    os.utime(inputs / "d.csv", (0, 0))

    again = run(service, inputs, tmp_path / "out")

    assert (first.skipped, again.skipped, again.rows) == (0, 1, 3 + 442 + 442)
    assert [record.rows for record in again.records] == [442, 3, 442, 442]
    assert run(service, inputs, tmp_path / "out").skipped == 4
    assert run(service, inputs, tmp_path / "out", keep_features=True).skipped == 0
    assert run(service, inputs, tmp_path / "out", keep_features=True).skipped == 4


def test_a_file_is_scored_again_if_it_its_scores_or_the_model_are_others(
    service: Service, inputs: Path, tmp_path: Path
) -> None:
    frame = ROWS.copy()
    frame.loc[0, FIRST] = None
    write(frame, inputs / "a.csv")
    output, found = Output(tmp_path / "out"), (inputs / "a.csv").stat()

    def skipped(**other: Any) -> int:
        return run(dataclasses.replace(service, **other), inputs, output.folder).skipped

    assert [skipped(), skipped()] == [0, 1]
    for other in ({"version": 2}, {"name": "other"}, {"digest": "other"}):
        assert [skipped(**other), skipped(**other), skipped()] == [0, 1, 0]
    os.truncate(output.scores("a.csv"), 60)
    assert [skipped(), skipped()] == [0, 1]
    output.rejected("a.csv").unlink()
    assert [skipped(), skipped()] == [0, 1]
    write(frame[:9], inputs / "a.csv")
    os.utime(inputs / "a.csv", ns=(found.st_atime_ns, found.st_mtime_ns))
    assert [skipped(), skipped()] == [0, 1]


class Watched:
    """A model that does something before it predicts of another piece."""

    def __init__(self, service: Service, watch: Callable[[], None]) -> None:
        self.model, self.watch, self.pieces = service.model, watch, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        self.pieces += 1
        self.watch()
        return self.model.predict(rows)


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_input, "ROWS_AT_ONCE", 50)
    monkeypatch.setattr(batch_input, "BYTES_AT_ONCE", 0)


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_scores_get_their_name_when_they_are_whole(service: Service, inputs: Path, tmp_path: Path, ending: str) -> None:
    write(ROWS, inputs / f"a{ending}")
    seen: list[bool] = []
    model = Watched(service, lambda: seen.append((tmp_path / "out" / "scores" / f"a{ending}").exists()))

    run(dataclasses.replace(service, model=model), inputs, tmp_path / "out")  # type: ignore[arg-type]

    assert len(seen) > 2
    assert not any(seen)


def test_a_file_has_no_record_while_it_is_scored_again(service: Service, inputs: Path, tmp_path: Path) -> None:
    write(ROWS, inputs / "a.csv")
    run(service, inputs, tmp_path / "out")
    seen: list[bool] = []
    model = Watched(service, lambda: seen.append(Output(tmp_path / "out").record("a.csv").exists()))

    run(dataclasses.replace(service, model=model, version=2), inputs, tmp_path / "out")  # type: ignore[arg-type]

    assert seen == [False]


@pytest.mark.usefixtures("in_pieces")
def test_runs_that_overlap_do_not_meet(service: Service, inputs: Path, tmp_path: Path) -> None:
    write(ROWS, inputs / "a.csv")
    output = Output(tmp_path / "out")

    def overlap() -> None:
        if model.pieces in (2, 4):
            run(service, inputs, output.folder)

    model = Watched(service, overlap)
    outcome = run(dataclasses.replace(service, model=model), inputs, output.folder)  # type: ignore[arg-type]

    assert read(output.scores("a.csv"))["row"].to_list() == list(range(1, 443))
    assert batch_output.is_whole(output, outcome.records[0])
    assert not list(output.folder.glob(".*"))


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_pieces_are_written_while_others_are_made(tmp_path: Path, ending: str) -> None:
    piece, sizes = pl.DataFrame({"score": np.random.default_rng(0).random(100_000)}), list[int]()

    def made() -> Iterator[pl.DataFrame]:
        for _ in range(20):
            yield piece
        sizes.append((tmp_path / "scores").stat().st_size)

    score_file.save(made(), tmp_path / "scores", ending)

    assert sizes[0] > (tmp_path / "scores").stat().st_size / 4


def test_what_a_run_that_died_was_at_is_scored_last(
    service: Service, inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    output = Output(tmp_path / "out")
    for name in ("a.csv", "b.csv", "c.csv"):
        write(ROWS.head(3), inputs / name)
    for name, place in (("a.csv", ".unfinished-old"), ("b.csv", ".unfinished-new")):
        (output.folder / place).mkdir(parents=True)
        (output.folder / place / "file").write_text(name, encoding="utf-8")
    os.utime(output.folder / ".unfinished-old", (0, 0))

    first = run(service, inputs, output.folder)
    told = caplog.text
    again = run(service, inputs, output.folder)

    assert [record.file for record in first.records] == ["c.csv", "a.csv", "b.csv"]
    assert "so they are scored last: a.csv, b.csv." in told
    assert (again.skipped, caplog.text) == (3, told)
    assert [path.name for path in output.folder.glob(".*")] == [".unfinished-new"]


def test_files_whose_names_are_odd_fail_alone_or_not_at_all(service: Service, inputs: Path, tmp_path: Path) -> None:
    not_utf8, long, too_long = os.fsdecode(b"b\xff.csv"), f"c{'x' * 245}.CSV", f"d{'x' * 250}.csv"
    for name in ("a.csv", not_utf8, long, too_long, "e.csv"):
        ROWS.head(3).to_csv((inputs / name).open("w"), index=False)

    for skipped in (0, 3):
        outcome = run(service, inputs, tmp_path / "out")

        assert [record.rows for record in outcome.records] == [3, 0, 3, 0, 3]
        assert outcome.skipped == skipped
        with pytest.raises(UserError, match=r"(?s)b\\xff.csv: this name is not UTF-8.*x.csv: this name is too long"):
            batch_output.check(outcome.records, max_rejected=1)


def test_names_of_columns_and_folders_are_only_names(service: Service, inputs: Path, tmp_path: Path) -> None:
    (inputs / "year=2026").mkdir()
    write(ROWS.head(3), inputs / "year=2026" / "A.PARQUET")

    run(service, inputs, tmp_path / "out")

    assert "year" not in pl.read_parquet(tmp_path / "out" / "scores" / "year=2026" / "A.PARQUET").columns


def test_repeated_features_are_numbers_whether_a_row_was_bad_or_not(
    service: Service, inputs: Path, tmp_path: Path
) -> None:
    whole = ROWS.head(3).round(0).astype(int).astype(str)
    write(whole, inputs / "a.csv")
    write(pd.concat([whole, whole.head(1).assign(**{FIRST: "x"})]), inputs / "b.csv")

    for ending in (".csv", ".parquet"):
        run(service, inputs, tmp_path / ending, ending=ending, keep_features=True)

    scores = [pl.read_parquet(file) for file in sorted((tmp_path / ".parquet" / "scores").iterdir())]
    assert scores[0].equals(scores[1])
    assert set(scores[0].select(FEATURES).dtypes) == {pl.Float64}
    good, bad = sorted((tmp_path / ".csv" / "scores").iterdir())
    assert good.read_bytes() == bad.read_bytes()


OWN = {
    "label": ("label", True),
    "reason": ("reason", True),
    "row": ("row", False),
    "score": ("score", False),
    "model": ("model_name", False),
    "usable": ("row can be scored", False),
    "reasons": ("why it cannot", False),
    "number": (f"{FIRST} as a number", False),
    "twice": (FIRST, False),
    "renamed": (f"{FIRST}_duplicated_0", True),
}


@pytest.mark.parametrize("kind", OWN)
def test_a_column_is_refused_only_if_scoring_adds_one_of_its_name(
    service: Service, inputs: Path, tmp_path: Path, kind: str
) -> None:
    name, taken = OWN[kind]
    fits = taken and not (name == "label" and service.model.labels)
    header, *rows = ROWS.head(3).to_csv(index=False).splitlines()
    (inputs / "a.csv").write_text("\n".join([f"{header},{name}", *(f"{row},mine" for row in rows)]), encoding="utf-8")

    outcome = run(service, inputs, tmp_path / "out")

    assert bool(outcome.records[0].error) != fits, outcome.records[0].error
    if fits:
        assert read(tmp_path / "out" / "scores" / "a.csv")[name].to_list() == ["mine"] * 3


def test_a_reason_of_ones_own_is_not_mixed_up_with_ours(service: Service, inputs: Path, tmp_path: Path) -> None:
    frame = ROWS.head(3).assign(reason="mine")
    frame.loc[1, FIRST] = None
    write(frame, inputs / "a.parquet")

    outcome = run(service, inputs, tmp_path / "out")

    assert outcome.records[0].error.endswith("has a column reason already, which rejected rows get: rename it.")
    assert not list((tmp_path / "out").rglob("*.parquet"))


@pytest.mark.parametrize("named", ["", "*/*.csv", "**/*.csv"], ids=["folder", "pattern", "recursive"])
def test_a_folder_that_cannot_be_read_is_named(
    service: Service, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    for folder in ("a", "locked"):
        (inputs / folder).mkdir()
        write(ROWS, inputs / folder / "a.csv")
    real = os.scandir

    def scandir(path: Path) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)

    with pytest.raises(UserError, match=r"inputs/locked cannot be read: Permission denied"):
        run(service, inputs / named, tmp_path / "out")


def test_files_of_the_same_name_and_time_in_other_folders_are_others(service: Service, tmp_path: Path) -> None:
    for number, folder in enumerate(("one", "two")):
        (tmp_path / folder).mkdir()
        write(ROWS[number : number + 1].round(0) * 0 + number, tmp_path / folder / "a.csv")
        os.utime(tmp_path / folder / "a.csv", (0, 0))
        outcome = run(service, tmp_path / folder, tmp_path / "out")
    (tmp_path / "two" / "a.csv").rename(tmp_path / "two" / "b.csv")
    (tmp_path / "out" / "scores" / ".of-another-program").touch()

    renamed = run(service, tmp_path / "two", tmp_path / "out")

    assert (outcome.skipped, renamed.skipped) == (0, 0)
    assert (tmp_path / "out" / "scores" / "a.csv").read_bytes() == (tmp_path / "out" / "scores" / "b.csv").read_bytes()
    assert batch_output.others(Output(tmp_path / "out"), renamed.records) == 1


@pytest.mark.parametrize("kind", ["missing column", "gone"])
def test_a_file_that_goes_bad_leaves_no_scores_of_what_it_was(
    service: Service, inputs: Path, tmp_path: Path, kind: str
) -> None:
    write(ROWS, inputs / "a.csv")
    run(service, inputs, tmp_path / "out")
    (inputs / "a.csv").unlink()
    bad_file(inputs / "a.csv", kind)

    for _ in range(2):
        outcome = run(service, inputs, tmp_path / "out")

        assert (outcome.records[0].rows, bool(outcome.records[0].error), outcome.skipped) == (0, True, 0)
        assert not list((tmp_path / "out" / "scores").iterdir())


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_the_other_format_is_written_on_demand(service: Service, inputs: Path, tmp_path: Path, ending: str) -> None:
    write(ROWS, inputs / "a.csv")
    write(ROWS, inputs / "a.parquet")

    run(service, inputs, tmp_path / "out", ending=ending)

    (same, other) = sorted((tmp_path / "out" / "scores").iterdir(), key=lambda file: len(file.name))
    assert other.name.endswith(f".{'parquet' if ending == '.csv' else 'csv'}{ending}")
    assert read(same)["score"].to_list() == read(other)["score"].to_list()


def test_a_pattern_or_a_folder_names_files_by_their_place(service: Service, inputs: Path, tmp_path: Path) -> None:
    for folder in ("x", "y", ".hidden"):
        (inputs / folder).mkdir()
        write(ROWS.head(2), inputs / folder / "[1].csv")
    (inputs / "x" / "notes.txt").touch()

    by_pattern = run(service, f"{inputs}/[xz]/*", tmp_path / "one")
    by_folder = run(service, inputs, tmp_path / "two")

    assert [record.file for record in by_pattern.records] == ["x/[1].csv"]
    assert [record.file for record in by_folder.records] == ["x/[1].csv", "y/[1].csv"]
    assert [run(service, f"{inputs}/{every}", tmp_path / "3").left_out for every in ("*/*", "**/*")] == [1, 1]
    assert not list((tmp_path / "3").rglob(".hidden"))
    assert (tmp_path / "two" / "scores" / "y" / "[1].csv").exists()


PLACES = {
    "nothing": ("empty", "out", "there is no CSV or Parquet file. `make run` puts a sample"),
    "nowhere": ("nowhere", "out", "does not exist. `make run` makes"),
    "below the inputs": ("in", "in/out", "choose another folder for the scores"),
    "in a folder of a recursive pattern": ("in/**/*.csv", "in/out", "choose another folder for the scores"),
    "where the input is": ("in/scores/a.csv", "in", "would be replaced by its scores"),
    "where the input is, by a pattern": ("in/scores/*.csv", "in", "would be replaced by its scores"),
    "beside a file": ("in/a.csv", "in/out", ""),
    "beside the files of a pattern": ("in/*.csv", "in/out", ""),
    "beside a folder": ("in/scores", "in/out", ""),
}


@pytest.mark.parametrize("place", PLACES)
def test_scores_never_become_inputs_nor_take_the_place_of_one(service: Service, tmp_path: Path, place: str) -> None:
    named, output, said = PLACES[place]
    for folder in ("empty", "in", "in/scores"):
        (tmp_path / folder).mkdir()
    write(ROWS, tmp_path / "in" / "a.csv")
    write(ROWS, tmp_path / "in" / "scores" / "a.csv")

    for skipped in (0, 1):
        if said:
            with pytest.raises(UserError, match=said):
                run(service, tmp_path / named, tmp_path / output)
        else:
            assert run(service, tmp_path / named, tmp_path / output).skipped == skipped


def test_two_files_whose_scores_would_have_one_name_are_refused(service: Service, inputs: Path, tmp_path: Path) -> None:
    write(ROWS, inputs / "a.csv")
    write(ROWS, inputs / "a.csv.parquet")

    with pytest.raises(UserError, match=r"a.csv and .*a.csv.parquet would both have their scores in .*a.csv.parquet:"):
        run(service, inputs, tmp_path / "out", ending=".parquet")

    assert not (tmp_path / "out").exists()


def test_the_program_says_what_it_did(
    workspace_with_champion: Workspace, inputs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    write(ROWS, inputs / "a.csv")
    bad_file(inputs / "bad.csv", "empty")

    with pytest.raises(SystemExit, match="1 of 2 files could not be scored"):
        workspace_with_champion.call("batch", "--input", str(inputs), "--output", "out", "--model-version", "1")

    assert f"Scored with version 1 of {MODEL_NAME}: 442 rows of 1 of 2 files" in caplog.text
    summary = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    assert (summary["files"], summary["rows"], summary["rejected"], list(summary["failed"])) == (2, 442, 0, ["bad.csv"])


def test_the_flags_decide_what_is_written_and_what_is_allowed(
    workspace_with_champion: Workspace,
    inputs: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("INFO")
    frame = ROWS.copy()
    frame.loc[:4, FIRST] = None
    write(frame, inputs / "a.csv")
    words = ("batch", "--input", str(inputs), "--output", "out")
    more = ("--max-rejected", "0.02", "--format", "parquet", "--keep-features")

    with pytest.raises(SystemExit, match="were rejected"):
        workspace_with_champion.call(*words)
    for flags in ((), ("--overwrite",)):
        workspace_with_champion.call(*words, *more, *flags)
    for wrong in ("7", "nan"):
        with pytest.raises(SystemExit):
            workspace_with_champion.call(*words, "--max-rejected", wrong)

    assert FIRST in pl.read_parquet("out/scores/a.csv.parquet").columns
    assert "files were scored before" not in caplog.text
    assert "1 more files of scores are there" in caplog.text
    told = capsys.readouterr().err
    assert "7 is not between 0 and 1" in told
    assert "nan is not between 0 and 1" in told
    workspace_with_champion.call(*words, *more)
    assert "1 of these files were scored before" in caplog.text


def test_a_summary_is_of_the_last_run_or_cannot_be_written(service: Service, inputs: Path, tmp_path: Path) -> None:
    write(ROWS, inputs / "a.csv")
    output = Output(tmp_path / "out")
    batch.report(output, run(service, inputs, output.folder), max_rejected=0)
    assert (output.folder / "summary.json").exists()

    outcome = run(service, inputs, output.folder)

    assert not (output.folder / "summary.json").exists()
    (output.folder / ".summary.json.tmp").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"summary.json cannot be written: .*No space left"):
        batch.report(output, outcome, max_rejected=0)


CHOICES = {
    "blank": ("", "", "", "version 2"),
    "blanks": (" ", " ", " ", "version 2"),
    "a number": ("1", " ", " ", "version 1"),
    "a tag": (" ", "colour", "red", "version 1"),
    "a tag that no version has": ("", "colour", "blue", "the tag colour = blue in service: give one that has"),
    "a version that was withdrawn": ("3", "", "", "is withdrawn since 2"),
    "a value without a name": ("", " ", "red", "model_tag_value is 'red', but model_tag_name is blank"),
    "a name without a value": ("", "colour", " ", "model_tag_name is 'colour', but model_tag_value is blank"),
    "both": ("1", "colour", "red", "give one of them"),
    "no number": ("latest", "", "", "model_version is 'latest': it must be the number"),
    "no such number": ("9", "", "", "has no version 9. Its versions: 3, 2, 1"),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_the_version_is_chosen_by_number_by_tag_or_is_the_champion(
    workspace_with_champion: Workspace, inputs: Path, caplog: pytest.LogCaptureFixture, choice: str
) -> None:
    caplog.set_level("INFO")
    version, name, value, said = CHOICES[choice]
    client = MlflowClient()
    first = registry.numbered(client, MODEL_NAME, 1)
    for _ in range(2):
        last = registry.add(client, MODEL_NAME, first.run_id, first.tags)
    registry.withdraw(client, MODEL_NAME, last.number)
    client.set_model_version_tag(MODEL_NAME, "1", "colour", "red")
    write(ROWS, inputs / "a.csv")
    words = ("--model-version", version, "--model-tag-name", name, "--model-tag-value", value)

    try:
        workspace_with_champion.call("batch", "--input", str(inputs), "--output", "out", *words)
    except SystemExit as refused:
        told = str(refused)
    else:
        told = caplog.text

    assert said in told
