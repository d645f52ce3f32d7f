"""The client of CometAPI's Runway Act-One route: creates tasks, and asks the feed about them."""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from act_one.clock import Clock
from act_one.keys import KeyNotSetError, KeyRing, Keys
from act_one.net.exchange import NoReplyError, NotSentError, Reply, post
from act_one.provider.outcomes import (
    Ambiguous,
    CreateOutcome,
    FeedAnswer,
    NoAnswer,
    NotKnown,
    Report,
    Retryable,
)
from act_one.provider.replies import read_create_reply, read_feed_reply
from act_one.tasks.task import Notice

CREATE_PATH: Final = "/runway/pro/act_one"
FEED_PATH: Final = "/runway/feed"
CREATE_SECONDS: Final = 15.0
"""Wall clock for the whole create; a longer one is ambiguous."""

_NO_KEY: Final = Notice(code="provider_key_not_set", message="the provider key is not set")


@dataclass(frozen=True, slots=True)
class CometApi:
    """The provider at ``base_url``, called with the keys of ``key_ring``."""

    base_url: str
    runway_version: str
    key_ring: KeyRing
    clock: Clock
    tls: ssl.SSLContext | None = None

    def create(self, *, video: str, image: str, callback_url: str) -> CreateOutcome:
        """Ask for a transfer, once. An accepted create costs about $0.40.

        Never raises for what the network or the provider does. When the key is refused, its secret
        is read again and a changed key is tried once: a refusal is certainly not billed.
        """
        body = {"video": video, "image": image, "callback_url": callback_url}
        try:
            keys = self.key_ring.keys()
        except KeyNotSetError:
            return Retryable(reason=_NO_KEY, key_refused=True)
        ends_at = self.clock() + CREATE_SECONDS
        outcome = self._create_with(keys.current, body, CREATE_SECONDS)
        if isinstance(outcome, Retryable) and outcome.key_refused:
            reloaded = self._reload(keys)
            seconds = ends_at - self.clock()
            if reloaded.current != keys.current and seconds > CREATE_SECONDS / 2:
                outcome = self._create_with(reloaded.current, body, seconds)
        return outcome

    def feed(self, provider_task_id: str, *, seconds: float) -> FeedAnswer:
        """Ask for a task's state, within ``seconds`` of wall clock. Free; may be repeated.

        The feed answers per account, so when the current key is refused or doesn't know the task,
        the previous key is tried: it may belong to the account that sent the task.
        """
        ends_at = self.clock() + seconds
        try:
            keys = self.key_ring.keys()
        except KeyNotSetError:
            return NoAnswer(reason=_NO_KEY.message, key_refused=True)
        answer = self._feed_with(keys.current, provider_task_id, seconds)
        if isinstance(answer, NoAnswer) and answer.key_refused:
            reloaded = self._reload(keys)
            if reloaded.current != keys.current:
                left = ends_at - self.clock()
                answer = self._feed_with(reloaded.current, provider_task_id, left)
            keys = reloaded
        may_be_other_account = isinstance(answer, NotKnown) or (
            isinstance(answer, NoAnswer) and answer.key_refused
        )
        if may_be_other_account and keys.previous is not None:
            left = ends_at - self.clock()
            with_previous = self._feed_with(keys.previous, provider_task_id, left)
            return with_previous if isinstance(with_previous, Report) else answer
        return answer

    def _reload(self, keys: Keys) -> Keys:
        try:
            return self.key_ring.reload()
        except KeyNotSetError:  # the key was removed from the secret meanwhile
            return keys

    def _create_with(self, key: str, body: Mapping[str, str], seconds: float) -> CreateOutcome:
        try:
            reply = self._post(CREATE_PATH, key, body, seconds)
        except NotSentError as error:
            return Retryable(reason=Notice(code="provider_unreachable", message=str(error)))
        except NoReplyError as error:
            return Ambiguous(reason=Notice(code="no_reply", message=str(error)))
        secrets = (key, body["callback_url"], body["callback_url"].rpartition("/")[2])
        return read_create_reply(reply, now=self.clock(), secrets=secrets)

    def _feed_with(self, key: str, provider_task_id: str, seconds: float) -> FeedAnswer:
        if seconds <= 0:
            return NoAnswer(reason="no time left to ask")
        try:
            reply = self._post(FEED_PATH, key, {"task_id": provider_task_id}, seconds)
        except (NotSentError, NoReplyError) as error:
            return NoAnswer(reason=f"{type(error).__name__}: {error}")
        return read_feed_reply(reply)

    def _post(self, path: str, key: str, body: Mapping[str, str], seconds: float) -> Reply:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        if self.runway_version:
            headers["X-Runway-Version"] = self.runway_version
        url = f"{self.base_url.rstrip('/')}{path}"
        return post(url, json.dumps(body).encode(), headers, seconds=seconds, tls=self.tls)
