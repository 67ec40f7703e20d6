"""Scoring on a cluster, as Azure ML calls it: processes that score some files each, and the step that publishes."""

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
from conftest import SRC, Workspace
from ml_service import batch_settings

from {{ cookiecutter.package_name }} import batch_output, batch_publish, batch_step
from {{ cookiecutter.package_name }}.batch_output import Output
from {{ cookiecutter.package_name }}.program import UserError
from {{ cookiecutter.package_name }}.sample import sample
from {{ cookiecutter.package_name }}.schema import FEATURES

ROWS = sample()[list(FEATURES)].astype(float).head(50)
OF_AZURE = ("--scoring_module_name", "x.py", "--output", "out", "--input_fds_0", "rows")


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Return a folder with two files of the same name, one that cannot be scored, and one that is no file of rows."""
    for folder in ("a", "b"):
        (tmp_path / "inputs" / folder).mkdir(parents=True)
        ROWS.to_csv(tmp_path / "inputs" / folder / "part.0.csv", index=False)
    (tmp_path / "inputs" / "bad.csv").touch()
    (tmp_path / "inputs" / "noending").touch()
    return tmp_path / "inputs"


def entry(words: list[str], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import the entry script from its file, as the service does, and start it with these words and the service's."""
    monkeypatch.setattr("sys.argv", ["amlbi_main.py", *OF_AZURE[:4], *words, *OF_AZURE[4:]])
    specification = importlib.util.spec_from_file_location("entry", SRC / "score_batches.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    module.init()
    return module


def words(inputs: Path, scored: Path, *choice: str) -> list[str]:
    return ["--rows", str(inputs), "--scored", str(scored), *choice]


def test_files_are_scored_as_on_one_machine_and_those_that_went_well_are_named(
    workspace_with_champion: Workspace, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = entry(words(inputs, tmp_path / "scored"), monkeypatch)
    files = [str(path) for path in sorted(inputs.rglob("*")) if path.is_file()]

    done = process.run(files[:2]) + process.run(files[2:]) + process.run([])

    assert done == [file for file in files if not file.endswith("bad.csv")]
    workspace_with_champion.call("batch", "--input", str(inputs / "?" / "*"), "--output", str(tmp_path / "local"))
    for name in ("a/part.0.csv", "b/part.0.csv"):
        local, cluster = (tmp_path / place / "scores" / name for place in ("local", "scored"))
        assert cluster.read_text(encoding="utf-8") == local.read_text(encoding="utf-8")


CHOICES = {
    "blank": ("--model-version", " ", "--model-tag-name", " ", "--model-tag-value", " "),
    "number": ("--model-version", "1"),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_blanks_choose_nothing(
    workspace_with_champion: Workspace, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: str
) -> None:
    entry(words(inputs, tmp_path / "scored", *CHOICES[choice]), monkeypatch)

    assert batch_step.workers[0].service.version == 1


def test_what_is_wrong_ends_the_process_and_is_not_swallowed(
    workspace_with_champion: Workspace, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="model_tag_value is 'red', but model_tag_name is blank"):
        entry(words(inputs, tmp_path / "scored", "--model-tag-name", " ", "--model-tag-value", "red"), monkeypatch)
    process = entry(words(inputs, tmp_path / "scored"), monkeypatch)
    (tmp_path / "scored" / "records").touch()
    with pytest.raises(OSError, match="scored/records"):
        process.run([str(inputs / "a" / "part.0.csv")])


@pytest.fixture
def scored(workspace_with_champion: Workspace, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return what processes on a cluster wrote, of one file with and one without rejected rows."""
    (inputs / "bad.csv").unlink()
    broken = ROWS.copy()
    broken.loc[3, FEATURES[0]] = None
    broken.to_csv(inputs / "b" / "part.0.csv", index=False)
    process = entry(words(inputs, tmp_path / "scored"), monkeypatch)
    process.run([str(path) for path in inputs.rglob("part*")])
    return tmp_path / "scored"


def test_scores_are_published_in_a_folder_of_their_day_and_time(scored: Path, tmp_path: Path) -> None:
    place = batch_publish.dated(datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC))

    summary = batch_publish.publish(tmp_path / "inputs", scored, tmp_path / place, max_rejected=0.01, max_failed=0)

    assert place == Path("2026-03-04/05_06_07_089")
    assert (summary["files"], summary["rows"], summary["rejected"]) == (2, 99, 1)
    files = {path.relative_to(tmp_path / place).as_posix() for path in (tmp_path / place).rglob("*") if path.is_file()}
    expected = {"scores/a/part.0.csv", "scores/b/part.0.csv", "rejected/b/part.0.csv.csv", "summary.json"}
    assert files == expected | {"records/a/part.0.csv.json", "records/b/part.0.csv.json"}
    assert pl.read_csv(tmp_path / place / "scores/b/part.0.csv")["row"].to_list() == [*range(1, 4), *range(5, 51)]


def test_an_input_without_a_record_has_failed_but_one_that_came_meanwhile_has_not(
    scored: Path, inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (inputs / "late.csv").touch()
    (scored / "given.json").write_text('["a/part.0.csv", "b/part.0.csv", "lost.csv"]', encoding="utf-8")

    with pytest.raises(UserError, match=r"1 of 3 files could not be scored:\nlost\.csv was not scored"):
        batch_publish.publish(inputs, scored, tmp_path / "one", max_rejected=1, max_failed=0)
    for allowed in (1, -1):
        summary = batch_publish.publish(inputs, scored, tmp_path / str(allowed), max_rejected=1, max_failed=allowed)

        assert (summary["files"], summary["rows"], list(summary["failed"])) == (3, 99, ["lost.csv"])  # type: ignore[call-overload]
        assert json.loads((tmp_path / str(allowed) / "records" / "lost.csv.json").read_text("utf-8"))["error"]
    assert "Arrived meanwhile, not scored: late.csv." in caplog.text


def test_what_is_given_is_listed_before_the_first_file_is_scored(
    workspace_with_champion: Workspace, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry(words(inputs, tmp_path / "scored"), monkeypatch)
    (inputs / "late.csv").touch()

    entry(words(inputs, tmp_path / "scored"), monkeypatch)

    given = json.loads((tmp_path / "scored" / "given.json").read_text(encoding="utf-8"))
    assert given == ["a/part.0.csv", "b/part.0.csv", "bad.csv"]


@pytest.mark.parametrize("kind", ["scores", "rejected"])
@pytest.mark.parametrize("left", [None, 60])
def test_a_file_whose_scores_or_rejected_rows_are_gone_or_cut_short_has_failed(
    scored: Path, inputs: Path, tmp_path: Path, kind: str, left: int | None
) -> None:
    (path,) = (scored / kind / "b").iterdir()
    content = path.read_bytes()
    path.unlink()
    if left:
        path.write_bytes(content[:left])

    with pytest.raises(UserError, match=r"1 of 2 files could not be scored:\nb/part.0.csv was scored, but"):
        batch_publish.publish(inputs, scored, tmp_path / "one", max_rejected=1, max_failed=0)
    summary = batch_publish.publish(inputs, scored, tmp_path / "two", max_rejected=1, max_failed=1)

    assert (summary["rows"], list(summary["failed"])) == (50, ["b/part.0.csv"])  # type: ignore[call-overload]
    assert not list((tmp_path / "two").glob("*/b/*.csv"))


def test_an_attempt_that_dies_leaves_no_record_and_no_half_file(
    scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:60])
        raise KeyboardInterrupt

    record = batch_output.read(scored / "records" / "b" / "part.0.csv.json")
    batch_output.copy(Output(scored), record, tmp_path / "out")
    monkeypatch.setattr("shutil.copyfile", half)

    with pytest.raises(KeyboardInterrupt):
        batch_output.copy(Output(scored), record, tmp_path / "out")

    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.csv*")}
    assert files == {"scores/b/part.0.csv", "rejected/b/part.0.csv.csv"}
    assert batch_output.is_whole(Output(tmp_path / "out"), record)


def test_the_summary_is_written_last(scored: Path, inputs: Path, tmp_path: Path) -> None:
    target = tmp_path / "published"
    target.mkdir()
    (target / "scores").touch()

    with pytest.raises(OSError, match="scores"):
        batch_publish.publish(inputs, scored, target, max_rejected=1, max_failed=0)

    assert not (target / "summary.json").exists()


def test_a_record_names_its_file_and_its_model_as_every_node_knows_them(scored: Path) -> None:
    record = batch_output.read(scored / "records" / "b" / "part.0.csv.json")

    assert record.source == "b/part.0.csv"
    assert record.model_digest == batch_step.workers[0].service.digest != ""


def test_too_many_rejected_rows_publish_nothing(scored: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="were rejected"):
        batch_publish.publish(tmp_path / "inputs", scored, tmp_path / "published", max_rejected=0.001, max_failed=0)

    assert not (tmp_path / "published").exists()


@pytest.mark.parametrize(
    ("change", "said"), [({"model_version": 2}, "by version 1 of .* and version 2 of"), (None, "by none")]
)
def test_scores_of_several_versions_or_none_are_refused(
    scored: Path, tmp_path: Path, change: dict[str, int] | None, said: str
) -> None:
    for path in list((scored / "records").rglob("*.json"))[: 1 if change else None]:
        record = json.loads(path.read_text(encoding="utf-8"))
        path.unlink()
        if change:
            path.write_text(json.dumps({**record, **change}), encoding="utf-8")

    with pytest.raises(UserError, match=said):
        batch_publish.publish(tmp_path / "inputs", scored, tmp_path / "published", max_rejected=1, max_failed=0)


PLACES = {
    "beside": ({"INPUT_PATH": "in", "OUTPUT_PATH": "into"}, ""),
    "inside": ({"INPUT_PATH": "in", "OUTPUT_PATH": "/in/out"}, "BATCH_OUTPUT_PATH is inside BATCH_INPUT_PATH"),
    "the same": ({"INPUT_PATH": "in/", "OUTPUT_PATH": "in"}, "BATCH_OUTPUT_PATH is inside BATCH_INPUT_PATH"),
    "a pattern": ({"INPUT_PATH": "in/*.csv", "OUTPUT_PATH": "in/out"}, ""),
    "recursive": ({"INPUT_PATH": "in/**/*.csv", "OUTPUT_PATH": "in/out"}, "is inside BATCH_INPUT_PATH"),
    "apart": ({"INPUT_PATH": "in", "OUTPUT_PATH": "in/out", "OUTPUT_DATASTORE": "own"}, ""),
    "no path": ({"INPUT_DATASTORE": "own"}, "BATCH_INPUT_DATASTORE needs BATCH_INPUT_PATH"),
    "no share": ({"MAX_REJECTED": "nan"}, "BATCH_MAX_REJECTED"),
}


@pytest.mark.parametrize("place", PLACES)
def test_settings_that_would_score_something_else_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    given, said = PLACES[place]
    example = (SRC.parent / ".env.example").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(example.replace("SUBSCRIPTION_ID=", "SUBSCRIPTION_ID=one"), encoding="utf-8")
    monkeypatch.setenv("BUILD_BUILDID", "7")
    for name, value in given.items():
        monkeypatch.setenv(f"BATCH_{name}", value)

    if said:
        with pytest.raises(UserError, match=said):
            batch_settings.read(tmp_path / ".env")
    else:
        batch_settings.read(tmp_path / ".env")
