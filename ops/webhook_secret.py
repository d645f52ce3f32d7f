"""Print the secrets that sign the webhooks of those who have no API key.

    python -m ops.webhook_secret STACK_NAME NAME      with the operator's own AWS credentials

NAME is `@webhook-url` for the endpoint of the parameter WebhookUrl, `uploads` or `events` for tasks
of the bucket and the bus that name an endpoint. The output is what GET /v1/webhook-secret returns.
"""

import json
import sys
from json import JSONDecodeError

import boto3

from act_one.keys import parse_keys
from act_one.tasks.task import EVENTS_CLIENT, UPLOADS_CLIENT
from act_one.webhooks.secrets import DEFAULT_ENDPOINT, WebhookSecretError, client_secrets
from ops.stacks import CommandError, run, stack_outputs

NAMES = (DEFAULT_ENDPOINT, UPLOADS_CLIENT, EVENTS_CLIENT)


def webhook_secret(stack_name: str, name: str, session: boto3.Session) -> dict[str, str | None]:
    """Return the secrets that sign the webhooks of one of ``NAMES``.

    Raises ``CommandError`` if there is no such stack, or if its secret can't be used.
    """
    stack_outputs(stack_name, session, "WebhookSecretCommand")
    vault = session.client("secretsmanager")
    stored = vault.get_secret_value(SecretId=f"{stack_name}/webhook")["SecretString"]
    try:
        keys = client_secrets(parse_keys(stored), name)
    except (WebhookSecretError, JSONDecodeError) as error:
        raise CommandError(f"The secret {stack_name}/webhook can't be used: {error}") from error
    return {"current": keys.current, "previous": keys.previous}


def main(arguments: list[str]) -> int:
    """Print the secrets; returns the exit status."""
    return run(lambda: _command(arguments))


def _command(arguments: list[str]) -> str:
    match arguments:
        case [stack_name, name] if stack_name.strip() and name in NAMES:
            return json.dumps(webhook_secret(stack_name.strip(), name, boto3.Session()))
    raise CommandError(
        f"Name the stack and one of {', '.join(NAMES)}: "
        "python -m ops.webhook_secret act-one @webhook-url"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
