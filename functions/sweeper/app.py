"""Run every minute: start an execution of the fallback for each due row."""

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import aws_client
from act_one.clients.directory import ClientDirectory
from act_one.clock import system_clock, utc_day
from act_one.lifecycle.sweep import sweep
from act_one.lifecycle.tables import task_table
from act_one.settings import Settings
from act_one.tasks.accounts import LedgerTable
from act_one.tasks.ledger import STACK

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
table = task_table(settings)
clients = ClientDirectory(table.client, settings.clients_table, system_clock)
ledger = LedgerTable(table.client, settings.ledger_table)
stepfunctions = aws_client("stepfunctions")


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def handler(_event: dict[str, Any], _context: LambdaContext) -> dict[str, int]:
    """Start the fallback for every due row; return the number of executions started."""
    started = sweep(table, stepfunctions, settings.fallback_arn, system_clock, clients.is_paused)
    if started:  # a metric costs the same when it is always 0
        metrics.add_metric("FallbacksStarted", MetricUnit.Count, started)
    if settings.watched and settings.daily_budget:
        _count_budget(settings.daily_budget)
    return {"started": started}


def _count_budget(budget: int) -> None:
    """Write how much of the stack's budget of today is spent, reserved or perhaps spent."""
    today = utc_day(system_clock())
    committed = ledger.days(STACK, today, today).get(today, {}).get("committed", 0)
    metrics.add_metric("BudgetUsedPercent", MetricUnit.Percent, 100 * committed / budget)
