"""The simulator as a process: `python -m local.simulator --api-key KEY`."""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from local.simulator import Provider


class Stopped(BaseException):
    """SIGTERM or SIGINT has come."""


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m local.simulator",
        description="Plays the provider on 127.0.0.1; see docs/provider-simulator.md.",
    )
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument(
        "--api-key", required=True, action="append", help="given again: one more account"
    )
    parser.add_argument(
        "--deliver-to", metavar="URL", help="where callbacks for *.on.aws hosts are sent"
    )
    parser.add_argument(
        "--behaviour", metavar="QUERY", default="", help="of tasks with a video from elsewhere"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="a line of JSON for each event")
    return parser.parse_args()


def stop(_signal_number: int, _frame: FrameType | None) -> None:
    """Ends the wait in `main`; a second signal changes nothing."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise Stopped


def main() -> None:
    """Serves until it is stopped or its parent is gone."""
    parent = os.getppid()
    arguments = parse_arguments()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        key, *other_keys = arguments.api_key
        with Provider(
            key,
            arguments.deliver_to,
            port=arguments.port,
            other_api_keys=other_keys,
            behaviour=arguments.behaviour,
            log=arguments.log,
        ) as provider:
            print(json.dumps({"url": provider.url}), flush=True)
            # Nobody would stop it after its parent is gone.
            while os.getppid() == parent:
                time.sleep(1)
    except Stopped:
        return
    except (ValueError, OSError) as error:
        sys.exit(f"the provider simulator can't start: {error}")


if __name__ == "__main__":
    main()
