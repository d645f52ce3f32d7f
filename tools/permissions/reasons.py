"""Why the roles may do what they may. The first entry that fits a statement is its reason."""

from dataclasses import dataclass

from tools.permissions.statements import Statement


class NoReasonError(Exception):
    """A statement has no reason yet; the message says where to add one."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Of the statements of ``role`` (empty: any) about ``action`` on ``place``, both beginnings."""

    action: str
    place: str
    why: str
    role: str = ""

    def fits(self, statement: Statement) -> bool:
        return (
            statement.role.startswith(self.role)
            and any(action.startswith(self.action) for action in statement.actions)
            and any(place.startswith(self.place) for place in statement.resources)
        )


REASONS = (
    # ── What several have ──
    Reason("logs:PutLogEvents", "", "its log"),
    Reason(
        "kms:Decrypt",
        "ProviderApiKeySecretKmsKeyArn",
        "the provider's key, if its secret has a key",
    ),
    Reason("kms:Decrypt", "", "reading what the key encrypts, through those services only"),
    Reason("kms:GenerateDataKey", "", "writing files that the key encrypts"),
    Reason(
        "dynamodb:GetItem", "ClientsTable", "the client, its limits, and whether sending is paused"
    ),
    Reason(
        "dynamodb:",
        "TasksTable/index/client",
        "the list of a client's tasks; a task by the provider's id",
        "TasksRole",
    ),
    Reason("dynamodb:Query", "TasksTable/index/provider-task", "a task by the provider's id"),
    Reason(
        "dynamodb:Query",
        "LedgerTable",
        "what a client's tasks cost, posted with a task's row and read",
    ),
    Reason(
        "dynamodb:UpdateItem", "LedgerTable", "what a task costs, in the transaction with its row"
    ),
    # ── The API ──
    Reason("dynamodb:", "TasksTable", "a new task and its moves; repeats", "SubmitRole"),
    Reason("dynamodb:", "StatsTable", "how long tasks take, for estimates", "SubmitRole"),
    Reason("dynamodb:", "StatsTable", "how long tasks take, for estimates", "TasksRole"),
    Reason("secretsmanager:", "", "the provider's key; what signs callback URLs", "SubmitRole"),
    Reason(
        "s3:GetObject",
        "UploadsBucket",
        "uploaded inputs: their type, and links for the provider",
        "SubmitRole",
    ),
    Reason("sqs:SendMessage", "IngestQueue", "the tasks of a batch", "SubmitRole"),
    Reason(
        "s3:GetObject", "ResultsBucket", "links to results, which act as their signer", "SubmitRole"
    ),
    Reason("dynamodb:", "TasksTable", "reading, cancelling and refreshing tasks", "TasksRole"),
    Reason(
        "s3:GetObject", "ResultsBucket", "links to results, which act as their signer", "TasksRole"
    ),
    Reason("sqs:SendMessage", "WebhookQueue", "a webhook once more, on demand", "TasksRole"),
    Reason(
        "secretsmanager:",
        "",
        "the provider's key, for refreshes; the webhook secret that a client asks for",
        "TasksRole",
    ),
    Reason(
        "s3:PutObject", "UploadsBucket", "presigned uploads, which act as their signer", "TasksRole"
    ),
    Reason("dynamodb:", "TasksTable", "marking a task, and its tombstone", "EraseRole"),
    Reason("s3:ListBucketVersions", "", "finding every version of a task's files", "EraseRole"),
    Reason("s3:DeleteObjectVersion", "", "removing them", "EraseRole"),
    Reason("s3:GetObject", "", "whose task a folder's result is about", "EraseRole"),
    # ── Callbacks, the stream, copies ──
    Reason("dynamodb:", "TasksTable", "a task and its moves", "CallbackRole"),
    Reason(
        "secretsmanager:",
        "",
        "the provider's key, to ask it; what verifies callback URLs",
        "CallbackRole",
    ),
    Reason("events:PutEvents", "", "events of moves", "RelayRole"),
    Reason(
        "dynamodb:",
        "TasksTable's stream",
        "reading the table's stream, by Lambda itself",
        "RelayRole",
    ),
    Reason("dynamodb:ListStreams", "*", "the same", "RelayRole"),
    Reason(
        "s3:",
        "RelayFailuresBucket",
        "keeping what could not be sent, by Lambda itself",
        "RelayRole",
    ),
    Reason("dynamodb:", "TasksTable", "a task, the claim on its copy, its end", "CopyRole"),
    Reason("dynamodb:", "StatsTable", "how long tasks take", "CopyRole"),
    Reason(
        "s3:",
        "ResultsBucket",
        "writing results, and adopting those of an earlier attempt",
        "CopyRole",
    ),
    Reason("sqs:ReceiveMessage", "", "reading its queue, by Lambda itself, and hiding messages"),
    # ── Webhooks, files and events ──
    Reason("dynamodb:", "TasksTable", "a task's webhook and its deliveries", "WebhooksRole"),
    Reason(
        "s3:GetObject",
        "ResultsBucket",
        "links in CometAPI's form, which act as their signer",
        "WebhooksRole",
    ),
    Reason("secretsmanager:", "", "what signs webhooks", "WebhooksRole"),
    Reason("dynamodb:", "TasksTable", "a new task and its moves; repeats", "IngestRole"),
    Reason("dynamodb:", "PairsTable", "which pair of a folder was sent", "IngestRole"),
    Reason("s3:ListBucket", "UploadsBucket", "a folder's files", "IngestRole"),
    Reason(
        "s3:GetObject",
        "UploadsBucket",
        "inputs, and whether a result is written already",
        "IngestRole",
    ),
    Reason("s3:PutObject", "UploadsBucket", "results and problems of folders", "IngestRole"),
    Reason("s3:GetObject", "ResultsBucket", "copying a result into its folder", "IngestRole"),
    Reason("events:PutEvents", "", "rejected files and messages", "IngestRole"),
    Reason("sqs:SendMessage", "IngestQueue", "folders to read again later", "IngestRole"),
    Reason("secretsmanager:", "", "the provider's key; what signs callback URLs", "IngestRole"),
    # ── The fallback ──
    Reason("dynamodb:Query", "TasksTable/index/due", "due tasks", "SweeperRole"),
    Reason("dynamodb:", "TasksTable", "claiming a due task, releasing a held one", "SweeperRole"),
    Reason("states:StartExecution", "Fallback", "the fallback of a due task", "SweeperRole"),
    Reason(
        "sqs:SendMessage",
        "UndeliveredQueue",
        "keeping a failed run, by Lambda itself",
        "SweeperRole",
    ),
    Reason("dynamodb:", "TasksTable", "a task and its moves", "FallbackRole"),
    Reason("secretsmanager:", "", "the provider's key; what signs callback URLs", "FallbackRole"),
    Reason(
        "s3:GetObject",
        "UploadsBucket",
        "links to inputs of a task that is sent later",
        "FallbackRole",
    ),
    Reason("lambda:InvokeFunction", "FallbackFunction", "each step", "FallbackStateMachineRole"),
    Reason(
        "logs:CreateLogDelivery", "*", "its log, by log delivery, which has no narrower resource"
    ),
    Reason("lambda:InvokeFunction", "SweeperFunction", "the sweep", "SweepScheduleRole"),
    Reason(
        "sqs:SendMessage",
        "UndeliveredQueue",
        "keeping a sweep that could not start",
        "SweepScheduleRole",
    ),
    # ── Policies that roles share ──
    Reason("xray:", "*", "traces; X-Ray has no narrower resource", "TracingPolicy"),
    Reason(
        "ec2:CreateNetworkInterface",
        "ec2:",
        "connecting functions to subnets, by Lambda itself, which asks for all of them",
        "NetworkPolicy",
    ),
    Reason(
        "ec2:Describe",
        "*",
        "the same; EC2 has no narrower resource, and the code of functions is denied all of it",
        "NetworkPolicy",
    ),
)


def reason_of(statement: Statement) -> str:
    """Say why a role may do something. Raises ``NoReasonError``."""
    for reason in REASONS:
        if reason.fits(statement):
            return reason.why
    message = (
        f"say in tools/permissions/reasons.py why {statement.role} may "
        f"{', '.join(statement.actions)} on {', '.join(statement.resources)}"
    )
    raise NoReasonError(message)


def useless(statements: list[Statement]) -> list[Reason]:
    """List the reasons of what no role may do any more."""
    used = {next(reason for reason in REASONS if reason.fits(one)) for one in statements}
    return [reason for reason in REASONS if reason not in used]
