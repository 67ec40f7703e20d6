"""Refuse answers that cannot give a working project: every wrong one, in a sentence, before anything is written."""

import difflib
import json
import keyword
import re
import sys

LONGEST = {
    "project_name": 60,
    "organisation": 60,
    "project_slug": 40,
    "package_name": 40,
    "model_name": 60,
    "resource_group": 90,
    "workspace_name": 33,
    "variable_group": 100,
    "azure_connection": 100,
    "azure_location": 40,
    "base_name": 10,
    "agent_image_name": 200,
    "agent_image_tag": 128,
}

OF_AZURE_DEVOPS = (
    r"[A-Za-z0-9_.-]+( [A-Za-z0-9_.-]+)*",
    "letters, digits, blanks, dots, hyphens and underscores, no blank at its ends",
)

# answer -> what it must look like, and how to say so
PATTERNS = {
    "project_slug": (r"[a-z][a-z0-9]*(-[a-z0-9]+)*", "lower-case letters, digits and single hyphens, a letter first"),
    "package_name": (r"[a-z][a-z0-9]*(_[a-z0-9]+)*", "lower-case letters, digits, single underscores, a letter first"),
    "model_name": (r"[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits, dots, hyphens and underscores"),
    # Azure's own rules: learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
    "resource_group": (
        r"[A-Za-z0-9_().-]*[A-Za-z0-9_()-]",
        "letters, digits, underscores, hyphens, dots and parentheses, no dot at the end",
    ),
    "workspace_name": (
        r"[A-Za-z0-9][A-Za-z0-9_-]{2,}",
        "at least 3 letters, digits, hyphens and underscores, a letter or digit first",
    ),
    "variable_group": OF_AZURE_DEVOPS,
    "azure_connection": OF_AZURE_DEVOPS,
    "base_name": (r"[A-Za-z][A-Za-z0-9]{2,}", "at least 3 letters and digits, a letter first"),
    "agent_image_name": (
        r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*",
        "lower-case letters and digits, with a dot, one or two underscores, hyphens or a slash between them",
    ),
    "agent_image_tag": (r"[A-Za-z0-9_][A-Za-z0-9_.-]*", "letters, digits, underscores, dots and hyphens"),
}

# Azure's public regions. For one that is newer, answer another and change the rendered files: they are two lines.
REGIONS = """
australiacentral australiacentral2 australiaeast australiasoutheast austriaeast belgiumcentral brazilsouth
brazilsoutheast canadacentral canadaeast centralindia centralus chilecentral eastasia eastus eastus2 francecentral
francesouth germanynorth germanywestcentral indonesiacentral israelcentral italynorth japaneast japanwest
jioindiacentral jioindiawest koreacentral koreasouth malaysiawest mexicocentral newzealandnorth northcentralus
northeurope norwayeast norwaywest polandcentral qatarcentral southafricanorth southafricawest southcentralus
southeastasia southindia spaincentral swedencentral switzerlandnorth switzerlandwest uaecentral uaenorth uksouth ukwest
westcentralus westeurope westindia westus westus2 westus3
"""

# A package of one of these names would be taken for a folder of the project, or for its tests.
FOLDERS = (
    "conftest",
    "data",
    "deployment",
    "docs",
    "environment_setup",
    "experimentation",
    "ml_service",
    "src",
    "tests",
)

# What requirements/*.txt install, by the name under which it is imported; a test keeps this complete.
INSTALLED = """
adal aiohappyeyeballs aiohttp aiosignal alembic annotated_doc annotated_types anyio applicationinsights argcomplete
ast_serialize asttokens attr attrs azure azureml backports bcrypt blinker cachetools certifi cffi cfgv
charset_normalizer click cloudpickle comm contextlib2 contourpy coverage cryptography cycler databricks dateutil debugpy
decorator deprecated distlib docker dotenv executing fastapi fastjsonschema filelock flask flask_cors frozenlist git
gitdb google graphene graphql graphql_relay gunicorn h11 httptools huey humanfriendly identify idna importlib_metadata
importlib_resources iniconfig ipykernel ipykernel_launcher ipython_pygments_lexers isodate itsdangerous jedi jeepney
jinja2 jmespath joblib jsonpickle jsonschema jsonschema_specifications jupyter jupyter_client jupyter_core jwt
kiwisolver knack librt lightgbm mako markupsafe matplotlib matplotlib_inline mlflow mpl_toolkits msal msal_extensions
msrest msrestazure multidict mypy mypy_extensions mypyc nacl narwhals nbclient nbformat ndg nest_asyncio2 nodeenv numpy
oauthlib opentelemetry orjson packaging pandas pandera paramiko parso pathspec pexpect pip pkg_resources pkginfo
platformdirs pluggy polars pre_commit prettytable prompt_toolkit propcache psutil ptyprocess pure_eval py pyarrow pyasn1
pyasn1_modules pycparser pydantic pydantic_core pydantic_settings pygments pylab pyparsing pytest pytest_cov
python_discovery pytz referencing requests requests_oauthlib rpds ruff scipy secretstorage setuptools six sklearn skops
smmap socks sockshandler sqlalchemy sqlparse stack_data starlette tabulate threadpoolctl tornado traitlets typeguard
typing_extensions typing_inspect typing_inspection tzdata urllib3 uv uvicorn uvloop virtualenv wcwidth werkzeug wrapt
yaml yarl zipp zmq
"""


# Packages that those look for, and use if they find something of that name.
LOOKED_FOR = """
boto3 catboost dask fastai keras langchain llama_index modin onnx openai paddle prophet pyspark ray
sentence_transformers shap spacy statsmodels tensorflow torch transformers xgboost
"""

# Modules of Python 3.11 that a later Python, or this one's list, does not name.
NOT_LISTED = """
aifc asynchat asyncore audioop cgi cgitb chunk crypt distutils imghdr imp lib2to3 mailcap msilib nis nntplib ossaudiodev
pipes smtpd sndhdr spwd sunau telnetlib test uu xdrlib
"""


def wrong_form(question, answer):
    """Say why an answer cannot be a name of its kind, or return None."""
    pattern, allowed = PATTERNS.get(question, (".*", ""))
    if not answer.strip():
        return "it is empty."
    if len(answer) > LONGEST[question]:
        return f"{answer!r} has {len(answer)} characters; at most {LONGEST[question]} are allowed."
    if not answer.isprintable():
        return f"{answer!r} holds characters that cannot be printed, such as a line break."
    if not re.fullmatch(pattern, answer):
        return f"{answer!r} must consist of {allowed}."
    if question == "project_name" and not any(character.isalpha() for character in answer):
        return f"{answer!r} holds no letter to make other names from."
    return None


def unknown_region(location):
    """Say which region may be meant by a name that is none, or return None."""
    name, regions = location.lower().replace(" ", ""), REGIONS.split()
    if name in regions:
        return None
    close = difflib.get_close_matches(name, regions, n=1, cutoff=0.7)
    meant = f"did you mean {close[0]}?" if close else "`az account list-locations` has all."
    return f"Azure has no public region {location!r}; {meant}"


def taken_by(package):
    """Say what else has the name of the package, or return None."""
    if keyword.iskeyword(package):
        return "a keyword of Python"
    if package in sys.stdlib_module_names or package in NOT_LISTED.split():
        return "a module of Python's standard library"
    if package in INSTALLED.split() or package in LOOKED_FOR.split():
        return "a package that the project installs or looks for"
    if package in FOLDERS or package.startswith("test_"):
        return "a folder or a test of the project"
    return None


def problems(answers):
    """Yield one sentence for each reason why an answer must change."""
    for question in LONGEST:
        if reason := wrong_form(question, answers[question]):
            yield f"{question}: {reason}"
    if reason := unknown_region(answers["azure_location"]):
        yield f"azure_location: {reason}"
    package = answers["package_name"]
    if owner := taken_by(package):
        yield f"package_name: {package!r} is {owner}; add a word to it."


def main():
    answers = json.loads(r"""{{ cookiecutter | tojson }}""")
    found = list(problems(answers))
    if found:
        sys.exit("\n".join(["The project was not generated:", *(f"  - {sentence}" for sentence in found)]))


if __name__ == "__main__":
    main()
