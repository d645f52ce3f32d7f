"""Runs the simulator as a process: `python -m local.simulator --api-key KEY`."""

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
    """Raised on SIGTERM or SIGINT."""


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m local.simulator",
        description="Simulates the provider on 127.0.0.1; see docs/provider-simulator.md.",
    )
    parser.add_argument("--port", type=int, default=0, help="default 0: a free port")
    parser.add_argument(
        "--api-key", required=True, action="append", help="repeat it to add accounts"
    )
    parser.add_argument(
        "--deliver-to",
        metavar="URL",
        help="http://host:port for callbacks to AWS hosts",
    )
    parser.add_argument(
        "--behaviour",
        metavar="QUERY",
        default="",
        help="of tasks whose video is not the simulator's own",
    )
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="add a line of JSON for each event"
    )
    return parser.parse_args()


def stop(_signal_number: int, _frame: FrameType | None) -> None:
    """End the wait in `main`; further signals are ignored."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise Stopped


def main() -> None:
    """Serve until a signal comes or the parent process ends."""
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
            # Without its parent the process would never be stopped.
            while os.getppid() == parent:
                time.sleep(1)
    except Stopped:
        return
    except (ValueError, OSError) as error:
        sys.exit(f"the provider simulator can't start: {error}")


if __name__ == "__main__":
    main()
