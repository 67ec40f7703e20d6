"""A mistake in parameters.yml is told by file and key, before anything is trained."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SRC, Workspace

from {{ cookiecutter.package_name }} import parameters

GOOD: dict[str, Any] = yaml.safe_load((SRC / "parameters.yml").read_text(encoding="utf-8"))
ARGUMENT = next(iter(GOOD["training"]))
METRIC = next(iter(GOOD["evaluation"]["metrics"]))


def training(**changes: Any) -> dict[str, Any]:
    return {"training": {**GOOD["training"], **changes}}


def evaluation(**changes: Any) -> dict[str, Any]:
    return {"evaluation": {**GOOD["evaluation"], **changes}}


MISTAKES = {
    "unknown_argument": (training(nonsense=1), r"parameters\.yml: training, which takes .*: nonsense: Extra inputs"),
    "text_for_number": (training(**{ARGUMENT: "high"}), rf"{ARGUMENT}: Input should be a valid .*; it is 'high'"),
    "quoted_number": (training(**{ARGUMENT: "1"}), rf"{ARGUMENT}: Input should be a valid"),
    "boolean_for_number": (training(**{ARGUMENT: True}), rf"{ARGUMENT}: Input should be a valid"),
    "missing_argument": ({"training": {}}, rf"{ARGUMENT}: Field required"),
    "no_arguments": ({"training": None}, r"parameters\.yml: training: Input should be a valid dict"),
    "unknown_direction": (evaluation(metrics={METRIC: "up"}), rf"evaluation\.metrics\.{METRIC}: .*'lower' or 'higher'"),
    "unknown_rule": (evaluation(promote_if="best"), r"evaluation\.promote_if: .*'none_worse', 'all_better' or"),
    "no_metric": (evaluation(metrics={}), r"evaluation\.metrics: .* at least 1"),
    "unknown_section": ({"evalution": {}}, "evalution: Extra inputs are not permitted"),
    "reserved_tag": ({"registration": {"tags": {"withdrawn": "no"}}}, "registration sets withdrawn itself"),
    "tag_with_a_colon": ({"registration": {"tags": {"a:b": "c"}}}, r"registration\.tags\.a:b.*: String should match"),
    "number_for_tag": ({"registration": {"tags": {"area": 1}}}, r"registration\.tags\.area: .* valid string"),
}


@pytest.mark.parametrize(("changes", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_by_file_and_key(workspace: Workspace, changes: dict[str, Any], said: str) -> None:
    Path("parameters.yml").write_text(yaml.safe_dump({**GOOD, **changes}), encoding="utf-8")

    with pytest.raises(SystemExit, match=said):
        workspace.step("train")
    assert not Path("candidate").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "cannot be read as YAML"),
        ("", "the whole file"),
        (None, "No such file"),
        ("training: {}\ntraining: {}\n", "training is there twice"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(workspace: Workspace, content: str | None, said: str) -> None:
    Path("parameters.yml").unlink()
    if content is not None:
        Path("parameters.yml").write_text(content, encoding="utf-8")

    with pytest.raises(SystemExit, match=rf"(?s)parameters\.yml.*{said}"):
        workspace.step("train")


def test_a_number_may_be_written_with_an_exponent(tmp_path: Path) -> None:
    (tmp_path / "parameters.yml").write_text(
        "training: {small: 1e-3}\nevaluation: {metrics: {m: lower}}\nregistration: {}\n", encoding="utf-8"
    )

    assert parameters.read(tmp_path / "parameters.yml").training == {"small": 0.001}
