"""A mistake in parameters.yml is told by file and key, before anything is trained."""

import pytest
from conftest import Workspace

FILE = "training:\n  alpha: 0.4\nevaluation:\n  metrics:\n    mse: lower\nregistration:\n  tags:\n    area: test\n"


MISTAKES = {
    "unknown_argument": ("alpha: 0.4", "alhpa: 0.4", r"parameters\.yml: training, which takes alpha: alhpa: Extra"),
    "text_for_number": ("alpha: 0.4", "alpha: high", "alpha: Input should be a valid number; it is 'high'"),
    "quoted_number": ("alpha: 0.4", "alpha: '0.4'", "alpha: Input should be a valid number"),
    "boolean_for_number": ("alpha: 0.4", "alpha: true", "alpha: Input should be a valid number"),
    "out_of_range": ("alpha: 0.4", "alpha: -1", r"parameters\.yml: training: the estimator refuses it: .*alpha"),
    "no_arguments": ("  alpha: 0.4", "", r"parameters\.yml: training: Input should be a valid dict"),
    "unknown_direction": ("mse: lower", "mse: smaller", r"evaluation\.metrics\.mse: .*'lower' or 'higher'"),
    "no_metric": ("metrics:\n    mse: lower", "metrics: {}", r"evaluation\.metrics: .* at least 1"),
    "unknown_section": ("evaluation:", "evalution:", "evalution: Extra inputs are not permitted"),
    "number_for_tag": ("area: test", "area: 1", r"registration\.tags\.area: .* valid string"),
    "not_yaml": (FILE, "[", "cannot be read as YAML"),
    "empty": (FILE, "", "the whole file"),
}


@pytest.mark.parametrize(("old", "new", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_by_file_and_key(workspace: Workspace, old: str, new: str, said: str) -> None:
    (workspace.folder / "parameters.yml").write_text(FILE.replace(old, new), encoding="utf-8")

    with pytest.raises(SystemExit, match=said):
        workspace.step("train")
    assert not (workspace.folder / "candidate").exists()


def test_a_missing_file_is_told(workspace: Workspace) -> None:
    (workspace.folder / "parameters.yml").unlink()

    with pytest.raises(SystemExit, match=r"parameters\.yml"):
        workspace.step("train")
