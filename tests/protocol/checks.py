"""What must hold: of each write, seen as the row before and after it, and of the end."""

import hashlib
from collections import Counter
from collections.abc import Iterator

from act_one.clock import DAY, HOUR
from act_one.tasks.moves import MOVES
from act_one.tasks.task import SETTLED, Billing, SettledBy, Stage, Task
from tests.protocol.actors import Actor
from tests.protocol.provider import State

SKEW_SECONDS = 5.0
FORESEEABLE_SECONDS = 1.2 * HOUR + 2 * SKEW_SECONDS
"""No open task is left alone for longer."""
KEPT_FOR_SECONDS = 22 * HOUR
"""A result that can be had this long after its send must be had (polls are hourly in the end)."""


def faults_of_write(world, intent, old: Task | None, new: Task, writer: Actor | None) -> Iterator:
    """Find what is wrong with one write."""
    if new.erasing_since is not None or (old is not None and old.erasing_since is not None):
        yield from _erasure(old, new)
        return
    yield from _move(old, new)
    yield from _due(world, new)
    if intent.task_id not in world.provider.deceived:
        yield from _billing(world, new)
    yield from _knowledge(world, intent, old, new)
    if old is not None:
        yield from _claims(world, old, new, writer)
    if new.stage is Stage.SUCCEEDED:
        yield from _output(world, new)


def _move(old: Task | None, new: Task) -> Iterator[str]:
    if old is None:
        waits = new.stage is Stage.ACCEPTED and new.attempt == 0
        if new.version != 1 or not (waits or new.stage is Stage.SUBMITTING):
            yield f"begins as {new.stage}#{new.version}"
    elif new.version == old.version:
        if new.stage is not old.stage:
            yield f"{old.stage} becomes {new.stage} and stays version {old.version}"
    elif new.version != old.version + 1:
        yield f"version {new.version} follows {old.version}"
    elif new.stage not in MOVES[old.stage]:
        yield f"moves from {old.stage} to {new.stage}"
    elif old.evidence is not None and new.stage is Stage.SUBMITTING:
        yield "is sent again after a callback"


def _erasure(old: Task | None, new: Task) -> Iterator[str]:
    """Find what is wrong with a write that begins an erasure, or comes after its begin."""
    if old is None:
        yield "begins as erased"
    elif old.erased_at is not None:
        yield "changes after it was erased"
    elif old.erasing_since is None:
        if old.stage not in SETTLED:
            yield f"is erased while it is {old.stage}"
        if (new.stage, new.erased_at, new.due_at) != (old.stage, None, None):
            yield "is erased in more than one respect at once"
    elif (new.erasing_since, new.erased_at is None) != (old.erasing_since, False):
        yield "changes while it is being erased"
    elif any((new.video, new.image, new.metadata, new.evidence, new.source, new.output)):
        yield "is erased and still tells something"
    if old is not None and new.version != old.version + 1:
        yield f"version {new.version} follows {old.version} in an erasure"
    if old is not None and (old.billing, old.price) != (new.billing, new.price):
        yield "forgets in an erasure what it cost"


def _due(world, new: Task) -> Iterator[str]:
    if new.expires_at is not None and new.stage not in SETTLED:
        yield f"may be removed while it is {new.stage}"
    if new.due_at is not None:
        if new.due_at > world.now + FORESEEABLE_SECONDS:
            yield f"is left alone for {new.due_at - world.now:,.0f} s"
        return
    if new.stage not in SETTLED:
        yield f"is {new.stage} and is never due again"
    hourly_until = (new.sent_at or new.created_at) + DAY - HOUR - 2 * SKEW_SECONDS
    if new.stage is Stage.EXPIRED and world.now < hourly_until:
        yield "is expired and is never due again"


def _billing(world, new: Task) -> Iterator[str]:
    bill = world.provider.bill(new.task_id)
    if new.billing is Billing.NONE and bill:
        yield "says that nothing was billed, and something was"
    if new.billing is Billing.CHARGED and not bill:
        yield "says that it was billed, and it wasn't"


def _knowledge(world, intent, old: Task | None, new: Task) -> Iterator[str]:
    made = {made.id: made for made in world.provider.all_of(new.task_id)}
    known = None if old is None else old.provider_task_id
    if new.provider_task_id != known:
        if known is not None:
            yield f"forgets {known} for {new.provider_task_id}"
        elif new.provider_task_id not in made:
            yield f"learns {new.provider_task_id}, which is another's"
    moved = old is None or new.version != old.version
    if not moved:
        return
    if new.stage is Stage.FAILED and new.error.code.startswith("provider_failed"):
        if not any(ours.was_failed for ours in made.values()):
            yield "fails without the provider's word for it"
    if new.stage is Stage.STORING and new.settled_by is SettledBy.CALLBACK_BODY:
        if old.stage is not Stage.STORING and not any(
            world.now + 2 * SKEW_SECONDS - since >= 600.0 for since in intent.failing_since
        ):
            yield "believes a callback before the feed was silent for ten minutes"


def _claims(world, old: Task, new: Task, writer: Actor | None) -> Iterator[str]:
    now = world.now + (writer.skew if writer else 0.0)
    if new.fallback_runs > old.fallback_runs and old.due_at > now:
        yield f"is claimed for an execution, {old.due_at - now:,.0f} s too early"
    lease = old.copy_lease_until
    if lease == new.copy_lease_until or lease is None:
        return
    holder = world.copiers.get(new.task_id)
    if lease > now and writer is not holder:
        yield "loses its copy's lease while it lasts"
    if new.copy_lease_until is not None and holder not in {None, writer} and not holder.ended:
        yield f"is copied by {writer} while {holder} is at it"


def _output(world, new: Task) -> Iterator[str]:
    made = world.provider.all_of(new.task_id)
    for name, stored in (("video.mp4", new.output.video), ("poster.png", new.output.poster)):
        if stored is None:
            continue
        kept = world.objects.get(stored.s3_uri.removeprefix("s3://results/"))
        if kept is None:
            yield f"succeeds without its {name}"
        elif stored.size != len(kept[0]) or kept[0] not in [ours.media(name) for ours in made]:
            yield f"keeps what is not its {name}"
        elif hashlib.sha256(kept[0]).hexdigest() != stored.sha256:
            yield f"keeps a {name} of another hash"
    if not any(key.endswith(f"{new.task_id}/task.json") for key in world.objects):
        yield "succeeds without its task.json"


def faults_of_end(world) -> Iterator[str]:
    """Find what is wrong when nothing is left to do."""
    for key, intent in world.intents.items():
        task = world.tasks.get(intent.task_id)
        if task is None:
            if world.provider.bill(intent.task_id):
                yield f"{key}: was billed and has no row"
            continue
        if task.stage not in SETTLED:
            yield f"{key}: is {task.stage} for good"
        if intent.task_id not in world.provider.deceived:
            yield from (f"{key}: {fault}" for fault in _billing(world, task))
        if task.erasing_since is not None:
            yield from (f"{key}: {fault}" for fault in _left(world, task))
            continue
        if (promised := _promised(world, intent, task)) and task.stage is not Stage.SUCCEEDED:
            yield f"{key}: is {task.stage} for good, though its paid result {promised}"
    yield from _ledger(world)
    if missing := world.moves.keys() - world.events.keys():
        yield f"events were lost: {sorted(missing)}"
    if unheard := world.events.keys() - world.moves.keys():
        yield f"events tell of no move: {sorted(unheard)}"
    for name, detail_type in world.moves.items():
        if name in world.events and world.events[name]["type"] != detail_type:
            yield f"{name} is published as {world.events[name]['type']}"


def _left(world, task: Task) -> Iterator[str]:
    """Find what an erasure left."""
    if task.erased_at is None:
        yield "is being erased for good"
    if left := [name for name in world.objects if f"/{task.task_id}/" in name]:
        yield f"is erased, and {left} are there"


def _ledger(world) -> Iterator[str]:
    """Find where the ledger is not the sum of the rows, whatever happened to their writes."""
    expected: Counter[str] = Counter()
    for task in world.tasks.values():
        place = {Billing.CHARGED: "spent", Billing.UNKNOWN: "unknown"}.get(task.billing)
        if not task.done:
            place = "reserved"
            expected["open"] += 1
        else:
            expected[str(task.stage)] += 1
        expected["tasks"] += 1
        if place is not None:
            expected[place] += task.price
            expected["committed"] += task.price
        if task.output is not None:
            media = (task.output.video, task.output.poster, task.output.last_frame)
            expected["stored_bytes"] += sum(one.size for one in media if one is not None)
    found: Counter[str] = Counter()
    for amounts in world.accounts().values():
        found.update(amounts)
    del expected["open"]  # counted in an account of its own, which this client has not
    if +expected != +found:
        yield f"the ledger has {dict(found)}, and the rows come to {dict(expected)}"


def _promised(world, intent, task: Task) -> str:
    """Say why a task must have succeeded, if it must: how its paid result came to be known."""
    made = world.provider.of(intent.task_id)
    if made is None or made.state is not State.SUCCEEDED or task.stage is Stage.CANCELED:
        return ""
    if intent.task_id in world.provider.deceived and task.attempt > 1:
        return ""
    told_at = intent.told_success_at
    if made.was_failed or intent.task_id in world.provider.deceived:
        # A failed task is polled only after a callback.
        if told_at is None or told_at < made.settled_at:
            return ""
    in_time = made.made_at + KEPT_FOR_SECONDS
    could_be_had_at = max(made.settled_at, world.calm_since)
    for known_at, how in (
        (intent.id_written_at, "had its id in the row"),
        (intent.told_id_at, "was called back with its id"),
    ):
        if known_at is not None and max(known_at, could_be_had_at) <= in_time:
            return how
    if told_at is not None and max(told_at, could_be_had_at) <= in_time:
        if intent.told_url_until > max(told_at, could_be_had_at) + 3 * HOUR:
            return "was called back with its address"
    return ""
