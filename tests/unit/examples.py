"""Tasks, one by one and any of them, as tests need them."""

from dataclasses import replace

from hypothesis import strategies as st

from act_one.tasks.task import (
    Billing,
    Delivery,
    Evidence,
    MediaUrls,
    Notice,
    Output,
    SettledBy,
    Stage,
    StoredMedia,
    Task,
    Webhook,
    WebhookForm,
)
from tests.unit.fakes import BEGINNING

TASK = Task(
    task_id="task_0123456789abcdef0123456789abcdef",
    client_id="client-1",
    stage=Stage.SUBMITTING,
    created_at=BEGINNING,
    updated_at=BEGINNING,
    video="https://media.example/a.mp4?sig=secret",
    image="https://media.example/b.png?sig=secret",
    request_hash="hash-1",
    claim_id="claim-1",
    sent_at=BEGINNING,
    attempt=1,
    due_at=BEGINNING + 60.0,
    billing=Billing.UNKNOWN,
)
SOURCE = MediaUrls(video="https://cdn.example/v.mp4", poster="https://cdn.example/p.png")


def task(stage=Stage.SUBMITTED, **fields):
    """A task in a stage, otherwise as it was created."""
    return replace(TASK, stage=stage, **fields)


texts = st.text(max_size=20)
names = st.text(min_size=1, max_size=20)
# To the millisecond, which is what a row keeps.
times = st.integers(0, 4_102_444_800_000).map(lambda moment: moment / 1000)
counts = st.integers(0, 2**40)
metadata = st.dictionaries(
    texts,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
notices = st.builds(Notice, code=texts, message=texts)
sources = st.builds(MediaUrls, video=names, poster=st.none() | names, last_frame=st.none() | names)
stored_media = st.builds(
    StoredMedia,
    s3_uri=names,
    size=counts,
    sha256=names,
    content_type=names,
    duration_seconds=st.none() | st.integers(0, 10**7).map(lambda moment: moment / 1000),
    width=st.none() | counts,
    height=st.none() | counts,
    c2pa=st.none() | st.booleans(),
)
webhooks = st.builds(
    Webhook,
    url=texts,
    events=st.lists(texts, max_size=3).map(tuple),
    form=st.sampled_from(WebhookForm),
)
deliveries = st.builds(
    Delivery,
    webhook_id=names,
    event=texts,
    attempt=counts,
    at=times,
    milliseconds=counts,
    status=st.none() | st.integers(100, 599),
    reply=texts,
    error=st.none() | texts,
    next_at=st.none() | times,
)
tasks = st.builds(
    Task,
    task_id=names,
    client_id=names,
    stage=st.sampled_from(Stage),
    created_at=times,
    updated_at=times,
    video=texts,
    image=texts,
    request_hash=texts,
    claim_id=names,
    version=st.integers(1, 2**40),
    billing=st.sampled_from(Billing),
    progress=st.integers(0, 100),
    metadata=metadata,
    consent=st.none() | texts,
    correlation_id=st.none() | names,
    sent_at=st.none() | times,
    attempt=counts,
    due_at=st.none() | times,
    fallback_runs=counts,
    polls=counts,
    provider_task_id=st.none() | names,
    feed_asked_at=st.none() | times,
    feed_failing_since=st.none() | times,
    evidence=st.none() | st.builds(Evidence, received_at=times, body=texts),
    success_callback=st.none() | st.builds(Evidence, received_at=times, body=texts),
    source=st.none() | sources,
    copy_attempts=counts,
    copy_lease_until=st.none() | times,
    output=st.none()
    | st.builds(
        Output,
        video=stored_media,
        poster=st.none() | stored_media,
        last_frame=st.none() | stored_media,
    ),
    error=st.none() | notices,
    warnings=st.lists(notices, max_size=3).map(tuple),
    settled_by=st.none() | st.sampled_from(SettledBy),
    late=st.booleans(),
    webhook=st.none() | webhooks,
    deliveries=st.lists(deliveries, max_size=3).map(tuple),
    expires_at=st.none() | times,
)
