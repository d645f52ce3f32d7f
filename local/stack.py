"""Runs the whole stack on this machine: emulator, provider simulator and deployed template.

    python -m local.stack up [NAME=value …]   runs until Ctrl-C or `down`; writes .local/stack.json
    python -m local.stack down

NAME=value sets a parameter of the template; the waits are as short as the demo's unless given. With
`ProviderBaseUrl`, no simulator is started: the server at that URL is the provider.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.deployable import deployable
from local.emulator import (
    ADMINISTRATOR,
    REGION,
    ROOT,
    EmulatorError,
    environment,
    running_emulator,
)
from local.expand import load
from local.gateway import put_own_replies
from local.processes import ends_with_parent, stop_group

BUILT: Final = ROOT / ".aws-sam/build/template.yaml"
"""What `sam build` made."""
FOLDER: Final = ROOT / ".local"
STACK_FILE: Final = FOLDER / "stack.json"
STACK_NAME: Final = "act-one-local"
SIMULATOR_NAME: Final = "act-one-simulator"
SIMULATOR_BUILD: Final = ROOT / ".aws-sam/simulator/template.yaml"
SWEEP_SECONDS: Final = 2.0
"""On AWS the schedule runs the sweeper once a minute; here that would be a long wait."""

LOCAL_PARAMETERS: Final[Mapping[str, str]] = {
    "AllowHttpMedia": "true",
    "UnsafeAllowPrivateMedia": "true",
    "RequireTls": "false",
}
"""These differ because everything runs on 127.0.0.1 over plain http."""

SHORT_WAITS: Final[Mapping[str, str]] = {
    "CallbackGraceSeconds": "5",
    "MinPollSeconds": "1",
    "PollIntervalSeconds": "1",
    "PollMaxIntervalSeconds": "2",
}
"""A missed callback is polled for after seconds, for the demo and `make local`. On AWS it takes 15
minutes, because the real provider is slower than the simulator."""

type Report = Callable[[str], None]
type Prepare = Callable[[str, Mapping[str, str]], Mapping[str, str]]
"""Makes what parameters refer to, such as a key, and returns those parameters. It gets the endpoint
of the emulator and the parameters so far."""


class StackError(Exception):
    """The stack can't be started; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStack:
    """URLs, names and keys of a running stack; the content of ``.local/stack.json``."""

    api_url: str
    api_key: str
    callback_url: str
    endpoint_url: str
    region: str
    stack_name: str
    tasks_table: str
    results_bucket: str
    uploads_bucket: str
    ingest_queue_url: str
    event_bus: str
    media_queue_url: str
    fallback_arn: str
    webhook_queue_url: str
    provider_url: str
    sweeper_function: str
    pid: int

    @property
    def api_id(self) -> str:
        """The REST API's id, which the emulator takes in the URL's path."""
        return self.api_url.rpartition("/")[0].rpartition("/")[2]

    def client(self, service: str) -> Any:  # noqa: ANN401 - as _client
        """Build a boto3 client for this stack's emulator, with administrator credentials."""
        return _client(service, self.endpoint_url)

    def sweep(self) -> None:
        """Run the sweeper once, as the schedule does on AWS."""
        self.client("lambda").invoke(FunctionName=self.sweeper_function, Payload=b"{}")


def use_only_this_machine() -> None:
    """Remove the caller's AWS settings and proxies: neither applies to 127.0.0.1."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        NO_PROXY="*",
        no_proxy="*",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )


@cache
def _session() -> boto3.session.Session:
    """Return the session of all clients: it reads what botocore knows of AWS once."""
    return boto3.session.Session()


_building_client: Final = threading.Lock()
"""Threads may share clients, but not build them at once with the same session."""


@cache
def _client(service: str, endpoint_url: str) -> Any:  # noqa: ANN401 - the name decides the type
    """Build a client once."""
    with _building_client:
        return _session().client(
            service,  # type: ignore[call-overload]  # typed for literal names only
            endpoint_url=endpoint_url,
            region_name=REGION,
            aws_access_key_id=ADMINISTRATOR["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ADMINISTRATOR["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"mode": "standard", "total_max_attempts": 3}, read_timeout=70),
        )


@contextmanager
def running_stack(
    parameters: Mapping[str, str],
    folder: Path,
    report: Report = print,
    *,
    sweeping: bool = True,
    deployed_simulator: bool = False,
    template: Path = BUILT,
    prepare: Prepare = lambda _endpoint_url, _parameters: {},
) -> Iterator[LocalStack]:
    """Run a stack with all its files under ``folder``, and stop it at the end.

    ``sweeping`` runs the sweeper every two seconds. ``deployed_simulator`` deploys the simulator as
    a stack of its own, in place of a process. ``template`` is built, or that of a release.
    ``prepare`` is called before the stack is deployed. Raises ``StackError``.
    """
    _refuse_unknown(parameters)
    with ExitStack() as ending:
        with _step("Starting the local AWS, IAM enforced", report):
            endpoint_url = ending.enter_context(running_emulator(folder))
        given = dict(parameters)
        if deployed_simulator:
            with _step("Deploying the provider simulator with sam", report):
                given = {**_deploy_simulator(folder, endpoint_url), **given}
        elif "ProviderBaseUrl" not in given:
            with _step("Starting the provider simulator", report):
                key = f"local-{secrets.token_hex(8)}"
                url = ending.enter_context(_running_simulator(folder, key, endpoint_url))
            given = {"ProviderBaseUrl": url, "ProviderApiKey": key, **given}
        given = {**given, **prepare(endpoint_url, given)}
        with _step("Deploying template.yaml with sam", report):
            deploy({**LOCAL_PARAMETERS, **given}, folder, endpoint_url, template)
        stack = _describe(endpoint_url, given["ProviderBaseUrl"])
        put_own_replies(_client("apigateway", endpoint_url), stack.api_id, given)
        if sweeping:
            ending.enter_context(_sweeping(stack))
        yield stack


def _refuse_unknown(parameters: Mapping[str, str]) -> None:
    """Raise ``StackError`` for parameters that `sam deploy` would ignore."""
    known = load(ROOT / "template.yaml")["Parameters"]
    if unknown := sorted(parameters.keys() - known.keys()):
        raise StackError(
            f"template.yaml has no parameter {', '.join(unknown)}; it has {', '.join(known)}"
        )


@contextmanager
def _step(what: str, report: Report) -> Iterator[None]:
    began_at = time.monotonic()
    yield
    report(f"{what} … {time.monotonic() - began_at:.1f} s")


@contextmanager
def _running_simulator(folder: Path, key: str, endpoint_url: str) -> Iterator[str]:
    command = [sys.executable, "-m", "local.simulator", "--port", "0", "--api-key", key]
    command += ["--deliver-to", endpoint_url, "--log", str(folder / "provider.jsonl")]
    with (folder / "provider.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            preexec_fn=ends_with_parent(signal.SIGTERM),  # noqa: PLW1509 - one prctl, no locks
        )
    try:
        ready = process.stdout.readline() if process.stdout else b""
        if not ready:
            raise StackError(f"the provider simulator did not start; see {folder}/provider.log")
        url: str = json.loads(ready)["url"]
        yield url
    finally:
        stop_group(process)


def _deploy_simulator(folder: Path, endpoint_url: str) -> dict[str, str]:
    """Deploy the simulator; return act-one's parameters that make it the provider."""
    deploy({"DeliverTo": endpoint_url}, folder, endpoint_url, SIMULATOR_BUILD, SIMULATOR_NAME)
    described = _client("cloudformation", endpoint_url).describe_stack_resources(
        StackName=SIMULATOR_NAME
    )["StackResources"]
    ids = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in described}
    functions = _client("lambda", endpoint_url)
    name = ids["SimulatorFunction"]
    url = functions.get_function_url_config(FunctionName=name)["FunctionUrl"]
    public_url = url_here(url, endpoint_url)
    settings = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    functions.update_function_configuration(
        FunctionName=name, Environment={"Variables": {**settings, "PUBLIC_URL": public_url}}
    )
    secrets_manager = _client("secretsmanager", endpoint_url)
    key = secrets_manager.get_secret_value(SecretId=ids["Key"])["SecretString"]
    return {"ProviderBaseUrl": public_url, "ProviderApiKey": key}


def url_here(function_url: str, endpoint_url: str) -> str:
    """Return the address of a function URL: its own host doesn't resolve on this machine."""
    url_id = function_url.removeprefix("https://").partition(".")[0]
    return f"{endpoint_url}/_aws/lambda-url/{url_id}"


def deploy(
    parameters: Mapping[str, str],
    folder: Path,
    endpoint_url: str,
    template: Path = BUILT,
    name: str = STACK_NAME,
) -> None:
    """Create or update a stack with `sam deploy`, as in AWS; what is not given stays as it was.

    What the emulator can't make is left out. The template is given as JSON: sam and the emulator
    parse it ten times, YAML in pure Python. Neither uv nor make is in reach: only a build needs
    them. Raises ``StackError``.
    """
    if not template.exists():
        raise StackError("nothing is built yet: run `make build`")
    command = [str(ROOT / ".tools/sam/bin/sam"), "deploy", "--stack-name", name]
    command += ["--config-file", str(ROOT / "samconfig.toml"), "--region", REGION]
    command += ["--no-progressbar", "--use-json"]
    if parameters:
        command += ["--parameter-overrides"]
        command += [f"{one}={_quoted(value)}" for one, value in parameters.items()]
    settings = {
        **environment(endpoint_url),
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.5",  # seconds: AWS would throttle that, the emulator doesn't
        "__SAM_CLI_APP_DIR": str(ROOT / ".tools/sam/settings"),
        "PATH": str(folder / "no-tools"),
    }
    with (
        # sam leaves a temporary folder for each artifact that it packages.
        TemporaryDirectory(dir=folder) as scratch,
        # Its paths are relative to the folder that it is in.
        NamedTemporaryFile("w", dir=template.parent, prefix="template-", suffix=".json") as as_json,
    ):
        json.dump(deployable(template), as_json)
        as_json.flush()
        done = subprocess.run(
            [*command[:2], "--template-file", as_json.name, *command[2:]],
            cwd=ROOT,
            env={**settings, "TMPDIR": scratch},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    (folder / f"deploy-{name}.log").write_bytes(done.stdout)
    if done.returncode != 0:
        output = done.stdout.decode(errors="replace").strip().splitlines()[-12:]
        raise StackError("sam deploy failed:\n  " + "\n  ".join(output))


def _quoted(value: str) -> str:
    """Quote a value for sam's parser of parameter overrides."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _describe(endpoint_url: str, provider_url: str) -> LocalStack:
    cloudformation = _client("cloudformation", endpoint_url)
    described = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    key = _client("apigateway", endpoint_url).get_api_key(
        apiKey=outputs["ApiKeyId"], includeValue=True
    )
    # https://{api}.execute-api.… doesn't resolve here; the emulator takes the API's id in the path.
    api_id = outputs["ApiUrl"].removeprefix("https://").partition(".")[0]
    return LocalStack(
        api_url=f"{endpoint_url}/_aws/execute-api/{api_id}/v1",
        api_key=key["value"],
        callback_url=outputs["CallbackUrl"],
        endpoint_url=endpoint_url,
        region=REGION,
        stack_name=STACK_NAME,
        tasks_table=outputs["TasksTable"],
        results_bucket=outputs["ResultsBucket"],
        uploads_bucket=outputs["UploadsBucket"],
        ingest_queue_url=outputs["IngestQueueUrl"],
        event_bus=outputs["EventBus"],
        media_queue_url=outputs["MediaQueueUrl"],
        fallback_arn=outputs["FallbackArn"],
        webhook_queue_url=outputs["WebhookQueueUrl"],
        provider_url=provider_url,
        sweeper_function=outputs["SweeperFunction"],
        pid=os.getpid(),
    )


@contextmanager
def _sweeping(stack: LocalStack) -> Iterator[None]:
    def sweep() -> None:
        with suppress(BotoCoreError, ClientError):
            stack.sweep()

    with repeated(sweep, SWEEP_SECONDS):
        yield


@contextmanager
def repeated(action: Callable[[], None], seconds: float) -> Iterator[None]:
    """Run an action in a thread, each time after a wait of ``seconds``, until the block ends."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(seconds):
            action()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


# ── The commands ──────────────────────────────────────────────────────────────────────────────


def up(parameters: Mapping[str, str]) -> None:
    """Run a stack until Ctrl-C, SIGTERM or `down`; ``parameters`` override ``SHORT_WAITS``.

    Raises ``StackError`` if one is running already.
    """
    if _running_pid() is not None:
        raise StackError(
            "a local stack of this checkout is already running; `make local-down` stops it"
        )
    FOLDER.mkdir(exist_ok=True)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with running_stack({**SHORT_WAITS, **parameters}, FOLDER / "up") as stack:
            STACK_FILE.write_text(json.dumps(asdict(stack), indent=2) + "\n")
            print(_how_to_use(stack), flush=True)
            stop.wait()
            print("Stopping …", flush=True)
    finally:
        STACK_FILE.unlink(missing_ok=True)


def down() -> None:
    """Stop this checkout's stack if it is running."""
    pid = _running_pid()
    if pid is None:
        STACK_FILE.unlink(missing_ok=True)
        print("No local stack is running.")
        return
    os.kill(pid, signal.SIGTERM)
    ends_at = time.monotonic() + 30
    while _is_alive(pid) and time.monotonic() < ends_at:
        time.sleep(0.1)
    print("Stopped." if not _is_alive(pid) else f"Process {pid} is still stopping.")


def _running_pid() -> int | None:
    try:
        pid: int = json.loads(STACK_FILE.read_text())["pid"]
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return pid if _is_alive(pid) else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _how_to_use(stack: LocalStack) -> str:
    body = (
        f'{{"video": "{stack.provider_url}/inputs/performance.mp4", '
        f'"image": "{stack.provider_url}/inputs/character.png"}}'
    )
    return f"""
The stack runs until Ctrl-C or `make local-down`. Its URLs and keys: {STACK_FILE.relative_to(ROOT)}

  curl -sS {stack.api_url}/tasks -H 'x-api-key: {stack.api_key}' -d '{body}'
  curl -sS {stack.api_url}/tasks/TASK_ID -H 'x-api-key: {stack.api_key}'

{stack.api_url}/docs describes the API.
"""


def main(arguments: list[str]) -> int:
    """Run a command; returns the exit status."""
    use_only_this_machine()
    try:
        match arguments:
            case ["up", *given] if all("=" in pair.strip("=") for pair in given):
                up(dict(pair.split("=", 1) for pair in given))
            case ["down"]:
                down()
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except (StackError, EmulatorError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
