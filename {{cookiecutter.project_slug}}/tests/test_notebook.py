"""The notebook runs from top to bottom."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "experimentation"


@pytest.mark.parametrize("notebook", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebook_runs(notebook: Path) -> None:
    content = nbformat.read(notebook, as_version=4)

    NotebookClient(content, timeout=300, resources={"metadata": {"path": str(FOLDER)}}).execute()
