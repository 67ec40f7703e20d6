"""Refuse answers that cannot give a working project: every wrong one, in a sentence, before anything is written."""

import json
import keyword
import re
import sys

LONGEST = {"project_name": 60, "organisation": 60, "project_slug": 40, "package_name": 40, "model_name": 60}

# answer -> what it must look like, and how to say so
PATTERNS = {
    "project_slug": (r"[a-z][a-z0-9]*(-[a-z0-9]+)*", "lower-case letters, digits and single hyphens, a letter first"),
    "package_name": (r"[a-z][a-z0-9]*(_[a-z0-9]+)*", "lower-case letters, digits and single underscores, a letter first"),
    "model_name": (r"[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits, dots, hyphens and underscores, no punctuation first"),
}

# A package of one of these names would hide a folder of the project, or be hidden by it.
FOLDERS = frozenset("build conftest data docs environment_setup deployment experimentation ml_service src tests".split())

# What requirements/*.txt install, by the name under which it is imported; a test keeps this complete.
INSTALLED = frozenset(
    """
aiohappyeyeballs aiohttp aiosignal alembic annotated_doc annotated_types anyio ast_serialize asttokens attr attrs
blinker cachetools certifi cffi cfgv charset_normalizer click cloudpickle comm contourpy coverage cryptography
cycler databricks dateutil debugpy distlib docker dotenv executing fastapi fastjsonschema filelock flask flask_cors
frozenlist git gitdb google graphene graphql graphql_relay gunicorn h11 httptools huey identify idna
importlib_metadata iniconfig ipykernel ipykernel_launcher ipython_pygments_lexers itsdangerous jedi jinja2 joblib
jsonschema jsonschema_specifications jupyter jupyter_client jupyter_core kiwisolver librt mako markupsafe matplotlib
matplotlib_inline mlflow mpl_toolkits multidict mypy mypy_extensions mypyc narwhals nbclient nbformat nest_asyncio2
nodeenv numpy opentelemetry orjson packaging pandas pandera parso pathspec pexpect pip pkg_resources platformdirs
pluggy pre_commit prettytable prompt_toolkit propcache psutil ptyprocess pure_eval py pyarrow pyasn1 pyasn1_modules
pycparser pydantic pydantic_core pygments pylab pyparsing pytest pytest_cov python_discovery pytz referencing
requests rpds ruff scipy setuptools six sklearn skops smmap sqlalchemy sqlparse stack_data starlette threadpoolctl
tornado traitlets typeguard typing_extensions typing_inspect typing_inspection tzdata urllib3 uv uvicorn uvloop
virtualenv wcwidth werkzeug yaml yarl zipp zmq
    """.split()
)


def problems(answers):
    """Yield one sentence for each reason why an answer must change."""
    for question, longest in LONGEST.items():
        answer = answers[question]
        if not answer.strip():
            yield f"{question}: it is empty."
        elif len(answer) > longest:
            yield f"{question}: {answer!r} has {len(answer)} characters; at most {longest} are allowed."
        elif not answer.isprintable():
            yield f"{question}: {answer!r} holds characters that cannot be printed, such as a line break."
        elif question in PATTERNS and not re.fullmatch(PATTERNS[question][0], answer, re.ASCII):
            yield f"{question}: {answer!r} must consist of {PATTERNS[question][1]}."

    package = answers["package_name"]
    if keyword.iskeyword(package):
        yield f"package_name: {package!r} is a keyword of Python; add a word to it."
    elif package in sys.stdlib_module_names:
        yield f"package_name: {package!r} is a module of Python's standard library; add a word to it."
    elif package in INSTALLED:
        yield f"package_name: {package!r} is a package that the project installs; add a word to it."
    elif package in FOLDERS:
        yield f"package_name: {package!r} is a folder of the project; add a word to it."


def main():
    answers = json.loads(r"""{{ cookiecutter | tojson }}""")
    found = list(problems(answers))
    if found:
        sys.exit("\n".join(["The project was not generated:", *(f"  - {sentence}" for sentence in found)]))


if __name__ == "__main__":
    main()
