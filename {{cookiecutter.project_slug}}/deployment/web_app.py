"""Set the Web App to a scoring image, and prove that it serves the wanted version; else put the former image back.

`same` only says whether it serves that already, and counts it as this build's if so. WEBAPP_DEPLOYMENT_NAME,
RESOURCE_GROUP and BASE_NAME say which app and which Key Vault, model.json which version must answer, the image's tag in
the registry from which image. RELEASE_BUILD never replaces a later build unless GOING_BACK is true.
ml_service/smoke_test.py then asks for predictions, with a key that no command line and no log sees.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from deployment import app_service
from deployment.app_service import App
from deployment.image.build import judged
from deployment.registry import content, mark, one_registry, take_turn, tell_same
from environment_setup.azure_cli import AzureError, program, setting

SETTLED = 3  # good answers in a row
LARGEST_ANSWER = 2**16
TARGET = "web-app"


class Patience(NamedTuple):
    """How long to wait for a version to answer, and how often to ask, in seconds."""

    timeout: float
    every: float


def shown(name: Any, version: Any, tag: Any) -> str:
    return f"{name} version {version} of image {tag or 'unknown'}"


def serving(host: str, seconds: float = 10) -> str | None:
    """Return the model that answers there, or None."""
    try:
        with urllib.request.urlopen(f"https://{host}/healthz", timeout=seconds) as answer:
            told = json.loads(answer.read(LARGEST_ANSWER))
        return shown(told["model"], told["version"], told.get("image")) if told["status"] == "healthy" else None
    except (OSError, HTTPException, KeyError, TypeError, ValueError):
        return None


def answers(model: str, host: str, every: float) -> bool:
    """Say whether a model answers, and goes on answering. Unlike `wait_for`, waits for none to come up."""
    good = 0
    for _ in range(2 * SETTLED):
        good = good + 1 if serving(host) == model else 0
        if good == SETTLED:
            return True
        time.sleep(every)
    return False


def served_before(host: str, patience: Patience) -> str | None:
    """Return the model that answers there, asked a few times before none is taken to."""
    for _ in range(SETTLED - 1):
        if found := serving(host):
            return found
        time.sleep(patience.every)
    return serving(host)


def wait_for(model: str, host: str, patience: Patience) -> None:
    """Wait until a model answers, and goes on answering."""
    deadline, good, told = time.monotonic() + patience.timeout, 0, object()
    while good < SETTLED:
        found = serving(host)
        good = good + 1 if found == model else 0
        if found != told:
            print(f"{host} answers: {found or 'no model'}.", flush=True)
        told = found
        if time.monotonic() > deadline:
            waited = f"within {patience.timeout:.0f} seconds"
            raise AzureError(f"{model} did not come up at {host} {waited}; last it answered: {found or 'no model'}.")
        if good < SETTLED:
            time.sleep(patience.every)


def smoke_test(host: str, key: str) -> None:
    """Have predictions asked for, by the program that does it for every service."""
    command = [sys.executable, "-m", "ml_service.smoke_test", "--type", "Webapp", "--service", f"https://{host}"]
    if subprocess.run(command, env={**os.environ, "SCORING_KEY": key}, check=False).returncode:
        raise AzureError("The smoke test failed: see what it said above.")


def put_back(app: App, former: str, image: str, before: str | None, patience: Patience) -> str:
    """Set the app to its former image again unless somebody else has set another one, and say what serves now."""
    try:
        if (now := app_service.image(app)) not in (image, former):
            return f"Somebody else has set {app.host} to {now} meanwhile: that was left alone."
        app_service.put(app, former)
        if before is None:
            return f"Its former image {former} was put back; no model had answered before."
        wait_for(before, app.host, patience)
    except Exception as error:
        return f"PUTTING BACK {former} FAILED: {error}"
    return f"Its former image {former} was put back: {before} serves again."


def deploy(app: App, image: str, model: str, key: str, patience: Patience) -> None:
    """Set the image and prove it. Whatever goes wrong, the former image is put back."""
    former = app_service.image(app)
    take_turn(TARGET, [former], image)
    before = served_before(app.host, patience)
    print(f"{app.host} runs {former}, which answers: {before or 'no model'}.", flush=True)
    try:
        if image != former:
            app_service.put(app, image)
        wait_for(model, app.host, patience)
        smoke_test(app.host, key)
    except (Exception, KeyboardInterrupt) as error:
        why = str(error) or "It was interrupted."
        if image == former:
            raise AzureError(f"{why} It ran this image before, so there is no other to put back.") from error
        raise AzureError(f"{why} {put_back(app, former, image, before, patience)}") from error


def digest(text: str) -> str:
    """Read the name of an image by its digest. A tag may be moved, so none is taken."""
    if not re.fullmatch(r"[a-z0-9]+\.azurecr\.io/[a-z0-9._/-]+@sha256:[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no image by digest, as `python3 -m deployment.image.build` writes it")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", nargs="?", choices=("deploy", "same"), default="deploy", help="(%(default)s)")
    image = os.environ.get("IMAGE")
    parser.add_argument("--image", default=image, required=not image, type=digest, help="registry/name@sha256:...")
    parser.add_argument("--model", default="model.json", type=Path, help="which version it holds (%(default)s)")
    parser.add_argument("--timeout", default=600.0, type=float, help="seconds for it to come up (%(default)s)")
    parser.add_argument("--every", default=5.0, type=float, help="seconds between two questions (%(default)s)")
    arguments = parser.parse_args()
    with program():
        if arguments.action == "same":
            tell_same("##vso[task.setvariable variable=SAME;isOutput=true]", lambda: release(arguments))
        else:
            release(arguments)


def release(arguments: argparse.Namespace) -> bool:
    """Deploy the image unless it serves already, which is what is returned; or only tell whether it does."""
    image, (name, version) = arguments.image, judged(arguments.model)
    app, vault = app_service.find(), f"{setting('BASE_NAME')}-AML-KV"
    app_service.check_pull(app, image)
    app_service.check_key(app, vault)
    if not (tag := content(image)):
        raise AzureError(f"{image} has not the one tag that `python -m deployment.image.build` gives: run that anew.")
    model, former = shown(name, version, tag), app_service.image(app)
    equal = former == image or (one_registry(former, image) and content(former) == tag)
    if same := equal and answers(model, app.host, arguments.every):
        mark(TARGET, former)
        print(f"{app.host} serves {model}: nothing to deploy.")
    elif arguments.action == "same":
        print(f"{app.host} answers: {serving(app.host) or 'no model'}. To be deployed: {model}.")
    else:
        key = app_service.key(vault)
        deploy(app, image, model, key, Patience(arguments.timeout, arguments.every))
        print(f"{model} serves at https://{app.host}/score.")
    return same


if __name__ == "__main__":
    main()
