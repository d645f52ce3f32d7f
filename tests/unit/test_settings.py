"""The environment, read once."""

from dataclasses import MISSING, fields

import pytest

from act_one.settings import SettingError, Settings

ENVIRONMENT = {
    "TASKS_TABLE": "tasks",
    "RESULTS_BUCKET": "results",
    "EVENT_BUS": "bus",
    "PROVIDER_SECRET": "stack/provider",
    "CALLBACK_SECRET": "stack/callback",
    "PROVIDER_BASE_URL": "https://provider.example",
    "CALLBACK_GRACE_SECONDS": "900",
    "POLL_INTERVAL_SECONDS": "15",
    "POLL_MAX_INTERVAL_SECONDS": "120",
    "MIN_POLL_SECONDS": "0.5",
    "TASK_TIMEOUT_SECONDS": "3600",
    "COPY_TIMEOUT_SECONDS": "300",
    "MAX_MEDIA_BYTES": "536870912",
    "MAX_VIDEO_BYTES": "33554432",
    "MAX_IMAGE_BYTES": "16777216",
    "MIN_VIDEO_SECONDS": "3",
    "MAX_VIDEO_SECONDS": "30",
    "ALLOW_HTTP_MEDIA": "false",
    "UNSAFE_ALLOW_PRIVATE_MEDIA": "true",
    "RESULT_RETENTION_DAYS": "0",
}
OPTIONAL = {
    *("RUNWAY_VERSION", "CALLBACK_BASE_URL", "FALLBACK_ARN"),
    *("WEBHOOK_URL", "WEBHOOK_SECRET", "WEBHOOK_QUEUE_URL", "CORS_ORIGIN"),
    *("API_DOCS", "WATCHED"),
    *("UPLOADS_BUCKET", "PAIRS_TABLE", "INPUT_BASE_URL"),
    *("LEDGER_TABLE", "CLIENTS_TABLE", "PRICE_PER_TASK_USD", "DAILY_BUDGET_USD"),
    *("STATS_TABLE", "INGEST_QUEUE_URL", "INPUT_RETENTION_DAYS", "REQUIRE_CONSENT"),
}


def test_the_environment_is_read_into_the_types_of_the_fields():
    settings = Settings.from_environment(ENVIRONMENT | {"PATH": "/bin"})

    assert settings.tasks_table == "tasks"
    assert settings.min_poll_seconds == 0.5
    assert settings.max_media_bytes == 536_870_912
    assert settings.allow_http_media is False
    assert settings.unsafe_allow_private_media is True


def test_what_only_some_functions_need_may_be_missing():
    settings = Settings.from_environment(ENVIRONMENT)

    assert (settings.runway_version, settings.callback_base_url, settings.fallback_arn) == (
        *("", "", ""),
    )


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_missing_variable_is_named(name):
    environment = {key: value for key, value in ENVIRONMENT.items() if key != name}

    with pytest.raises(SettingError, match=f"{name} is not set"):
        Settings.from_environment(environment)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MAX_MEDIA_BYTES", "512 MB"),
        ("MAX_MEDIA_BYTES", "1.5"),
        ("MAX_MEDIA_BYTES", ""),
        ("RESULT_RETENTION_DAYS", "never"),
        ("CALLBACK_GRACE_SECONDS", "15 min"),
        ("MIN_POLL_SECONDS", ""),
        ("ALLOW_HTTP_MEDIA", "yes"),
        ("ALLOW_HTTP_MEDIA", "1"),
        ("REQUIRE_CONSENT", "yes"),
        ("UNSAFE_ALLOW_PRIVATE_MEDIA", ""),
    ],
)
def test_a_malformed_variable_is_named_with_its_value(name, text):
    with pytest.raises(SettingError, match=name) as caught:
        Settings.from_environment(ENVIRONMENT | {name: text})

    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["true", "True", "TRUE"])
def test_a_flag_is_read_in_any_case(text):
    assert Settings.from_environment(ENVIRONMENT | {"ALLOW_HTTP_MEDIA": text}).allow_http_media


@pytest.mark.parametrize(
    ("days", "kept"), [(0, None), (1, 15), (13, 15), (14, 15), (15, 16), (3650, 3651)]
)
def test_a_row_outlives_its_objects_and_any_retry(days, kept):
    settings = Settings.from_environment(ENVIRONMENT | {"RESULT_RETENTION_DAYS": str(days)})

    assert settings.row_expires_at(1_000.0) == (None if kept is None else 1_000.0 + kept * 86_400)


def test_these_are_all_the_variables():
    needed = {setting.name.upper() for setting in fields(Settings) if setting.default is MISSING}

    assert needed == set(ENVIRONMENT)
    assert {setting.name.upper() for setting in fields(Settings)} - needed == OPTIONAL


@pytest.mark.parametrize("days", [0, 1, 3_650])
def test_claims_outlive_the_files_of_the_uploads_bucket(days):
    settings = Settings.from_environment(ENVIRONMENT | {"INPUT_RETENTION_DAYS": str(days)})

    ends_at = settings.claim_expires_at(1_000.0)

    assert ends_at is None if days == 0 else ends_at > 1_000.0 + (days + 365) * 86_400
