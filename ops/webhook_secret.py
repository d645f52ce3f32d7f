"""Print the secrets that sign the webhooks of a client that has no API key.

    python -m ops.webhook_secret STACK_NAME NAME      with the operator's own AWS credentials

NAME is `default` for the endpoint of the parameter WebhookUrl, `uploads` or `events` for tasks of
the bucket and the bus that name an endpoint. The output is what GET /v1/webhook-secret returns.
"""

import json
import sys

import boto3

from act_one.keys import parse_keys
from act_one.tasks.task import EVENTS_CLIENT, UPLOADS_CLIENT
from act_one.webhooks.secrets import DEFAULT_ENDPOINT, client_secrets

NAMES = (DEFAULT_ENDPOINT, UPLOADS_CLIENT, EVENTS_CLIENT)


def webhook_secret(stack_name: str, name: str, session: boto3.Session) -> dict[str, str | None]:
    """Return the secrets that sign the webhooks of one of ``NAMES``."""
    vault = session.client("secretsmanager")
    stored = vault.get_secret_value(SecretId=f"{stack_name}/webhook")["SecretString"]
    keys = client_secrets(parse_keys(stored), name)
    return {"current": keys.current, "previous": keys.previous}


def main(arguments: list[str]) -> int:
    """Print the secrets; 2 if the arguments are others."""
    match arguments:
        case [stack_name, name] if name in NAMES:
            print(json.dumps(webhook_secret(stack_name, name, boto3.Session())))
            return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
