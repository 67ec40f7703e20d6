"""What is read, and what is refused."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Workspace

from {{ cookiecutter.package_name }} import data
from {{ cookiecutter.package_name }}.program import UserError
from {{ cookiecutter.package_name }}.sample import sample
from {{ cookiecutter.package_name }}.schema import FEATURES, TRAINING_DATA

COLUMNS = list(TRAINING_DATA.columns)
Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return sample().head(300)[COLUMNS].astype(float)


def test_sample_data_satisfies_the_schema(tmp_path: Path) -> None:
    sample().to_csv(tmp_path / "sample.csv", index=False)

    pd.testing.assert_frame_equal(data.read(tmp_path), sample()[COLUMNS].astype(float))


def test_the_program_writes_the_sample(workspace: Workspace) -> None:
    workspace.call("data", "--output", "written")

    assert len(data.read(Path("written"))) == len(sample())


def test_columns_may_come_in_any_order(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.iloc[:, ::-1].to_csv(tmp_path / "reversed.csv", index=False)

    pd.testing.assert_frame_equal(data.read(tmp_path), frame)


def test_all_files_of_a_folder_are_one_table(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame[:100].to_csv(tmp_path / "a.csv", index=False)
    frame[100:].to_csv(tmp_path / "b.csv", index=False)

    pd.testing.assert_frame_equal(data.read(tmp_path), frame)


def test_fingerprint_is_that_of_the_bytes(workspace: Workspace) -> None:
    content = Path("data/sample.csv").read_bytes()

    assert data.fingerprint(Path("data")) == hashlib.sha256(content).hexdigest()


def test_data_that_is_there_is_never_overwritten(workspace: Workspace) -> None:
    (workspace.folder / "data" / "sample.csv").write_text("mine", encoding="utf-8")

    workspace.call("data", "--output", "data")

    assert (workspace.folder / "data" / "sample.csv").read_text(encoding="utf-8") == "mine"


def with_value(column: str, value: object) -> Change:
    return lambda frame: frame.astype({column: object}).assign(
        **{column: lambda changed: changed[column].where(changed.index != 5, value)}
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda frame: frame.drop(columns=FEATURES[1]), f"column {FEATURES[1]} is missing", id="missing"),
        pytest.param(lambda frame: frame.assign(more=1.0), "column more is not in the schema", id="extra"),
        pytest.param(
            with_value(FEATURES[2], "abc"),
            r"is not a number in 1 rows, .* line 7: abc",
            id="text",
        ),
        pytest.param(with_value(FEATURES[2], np.nan), "is empty in 1 rows, first in line 7", id="nan"),
        pytest.param(lambda frame: frame[:0], "0 rows are too few", id="no_rows"),
        pytest.param(lambda frame: frame[:9], "9 rows are too few", id="few_rows"),
    ],
)
def test_bad_data_is_refused_with_column_and_line(
    frame: pd.DataFrame, tmp_path: Path, change: Change, said: str
) -> None:
    change(frame).to_csv(tmp_path / "bad.csv", index=False)

    with pytest.raises(UserError, match=said):
        data.read(tmp_path)


@pytest.mark.parametrize("blank", ["\n\n\n", ""], ids=["blank_lines", "none"])
def test_lines_are_counted_as_an_editor_counts_them(frame: pd.DataFrame, tmp_path: Path, blank: str) -> None:
    header, *rows = with_value(FEATURES[2], "abc")(frame).to_csv(index=False).splitlines()
    (tmp_path / "bad.csv").write_text("\n".join([header + blank, *rows]) + "\n", encoding="utf-8")

    with pytest.raises(UserError, match=f"first in line {7 + len(blank)}: abc"):
        data.read(tmp_path)


def test_all_files_together_must_satisfy_the_schema(frame: pd.DataFrame, tmp_path: Path) -> None:
    unique = [name for name, column in TRAINING_DATA.columns.items() if column.unique]
    for name in ("a", "b"):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)

    if unique:
        with pytest.raises(UserError, match=f"column {unique[0]} is there twice in 600 rows"):
            data.read(tmp_path)
    else:
        assert len(data.read(tmp_path)) == 600


def test_every_missing_column_is_told(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.drop(columns=list(FEATURES[:3])).to_csv(tmp_path / "bad.csv", index=False)

    with pytest.raises(UserError) as raised:
        data.read(tmp_path)
    assert str(raised.value).splitlines() == [f"{tmp_path}/bad.csv: column {name} is missing." for name in FEATURES[:3]]


def test_a_column_of_text_is_told_once(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.astype({FEATURES[0]: object}).assign(**{FEATURES[0]: "high"}).to_csv(tmp_path / "bad.csv", index=False)

    with pytest.raises(UserError) as raised:
        data.read(tmp_path)
    assert str(raised.value).endswith(f"column {FEATURES[0]} is not a number in 300 rows, first in line 2: high.")
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01", b'"never closed'], ids=["empty", "binary", "unclosed"])
def test_a_file_that_is_not_csv_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.csv").write_bytes(content)

    with pytest.raises(UserError, match=r"bad\.csv"):
        data.read(tmp_path)


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no CSV file"):
        data.read(tmp_path)


def test_several_faults_are_told_at_once(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.drop(columns=FEATURES[0]).assign(more=1.0).to_csv(tmp_path / "bad.csv", index=False)

    with pytest.raises(UserError) as raised:
        data.read(tmp_path)
    assert f"column {FEATURES[0]} is missing" in str(raised.value)
    assert "column more is not in the schema" in str(raised.value)
