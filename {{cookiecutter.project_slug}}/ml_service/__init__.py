"""Azure ML, through its SDK v1: a module for each noun, and the verbs submit and wait. Each is a program as well.

Everything that knows Azure is here. What runs there is in src/, which knows nothing of it.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
PACKAGE = "{{ cookiecutter.package_name }}"

# What src/ says of the pipeline is read from there, not repeated.
sys.path.insert(0, str(SRC))
