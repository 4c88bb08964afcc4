"""`python -m simulators.paypal --portal http://localhost:8000 [--port 8026]`: run a PayPal beside the portal."""

from __future__ import annotations

import argparse
import logging

import uvicorn

from simulators.paypal.server import Manner, PayPal
from simulators.paypal.world import World


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m simulators.paypal", description="A PayPal for trying out: nobody pays.")
    parser.add_argument("--portal", required=True, action="append", help="the portal's address, the only shop; may be repeated")
    parser.add_argument("--port", type=int, default=8026)
    parser.add_argument("--delay", type=float, default=0.5, help="seconds from Continue to the notice")
    parser.add_argument("--repeat", type=int, default=1, help="how many times each notice is sent")
    parser.add_argument("--reorder", action="store_true", help="say pending after completed")
    parser.add_argument("--no-pdt", action="store_true", help="the way back does not name the payment")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    manner = Manner(delay_s=options.delay, times=options.repeat, backwards=options.reorder)
    app = PayPal(World(), options.portal, manner, url=f"http://127.0.0.1:{options.port}", pdt=not options.no_pdt)
    uvicorn.run(app, host="127.0.0.1", port=options.port, access_log=False, lifespan="off", log_level="warning")


if __name__ == "__main__":
    main()
