"""The provider simulator: imitates CometAPI's Runway Act-One routes on 127.0.0.1.

    with Provider(api_key="key") as provider:
        requests.post(provider.url + "/runway/pro/act_one", ...)
        assert provider.bill()["creates_accepted"] == 1

docs/provider-simulator.md describes the routes and how to choose a task's behaviour.
"""

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self

from local.simulator.behaviour import parse_behaviour
from local.simulator.callbacks import address_of
from local.simulator.inputs import fetch_inputs
from local.simulator.inspection import task_documents
from local.simulator.ledger import MemoryLedger, bill
from local.simulator.server import Connection, ProviderServer, deliver_in_thread
from local.simulator.simulation import Simulation

__all__ = ["Provider"]


class Provider:
    """A simulator that runs for the duration of a `with` block.

    - `api_key`: the key of the first account; `other_api_keys`: the keys of further accounts, each
      of which has its own tasks;
    - `deliver_to`: `http://host:port` to which callbacks for function URLs and REST APIs are sent;
    - `port`: 0 for a free one;
    - `behaviour`: a query string with the default behaviour, which the query of the simulator's own
      video overrides;
    - `log`: a file to which a line of JSON is added for each task, request and callback.

    Raises ValueError for an invalid `deliver_to` or `behaviour`, OSError for a port in use.
    """

    def __init__(
        self,
        api_key: str,
        deliver_to: str | None = None,
        *,
        port: int = 0,
        other_api_keys: Sequence[str] = (),
        behaviour: str = "",
        log: Path | None = None,
    ) -> None:
        self._api_keys = (api_key, *other_api_keys)
        self._deliver_to = address_of(deliver_to) if deliver_to else None
        self._port = port
        self._default = parse_behaviour(behaviour)
        self._log = log
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            log = stack.enter_context(self._log.open("a")) if self._log else None
            ledger = MemoryLedger(log)
            stack.callback(ledger.stop_logging)
            server = stack.enter_context(ProviderServer(("127.0.0.1", self._port), Connection))
            self._simulation = server.simulation = Simulation(
                url=f"http://127.0.0.1:{server.server_address[1]}",
                api_keys=self._api_keys,
                deliver_to=self._deliver_to,
                default=self._default,
                signing_key=secrets.token_bytes(32),
                ledger=ledger,
                send_later=deliver_in_thread,
                fetch_inputs=fetch_inputs,
            )
            # Leaving the `with` block takes up to the poll interval.
            thread = Thread(target=server.serve_forever, args=(0.05,), name="provider", daemon=True)
            thread.start()
            stack.callback(self._simulation.sockets.hang_up)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            stack.callback(self._simulation.closing.set)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return self._simulation.url

    def bill(self) -> dict[str, Any]:
        """Return the document of `GET /_simulator/bill`."""
        return bill(self._simulation.ledger)

    def requests(self) -> list[dict[str, Any]]:
        """Return the document of `GET /_simulator/requests`."""
        return self._simulation.ledger.requests() or []

    def tasks(self) -> list[dict[str, Any]]:
        """Return the document of `GET /_simulator/tasks`."""
        return task_documents(self._simulation)
