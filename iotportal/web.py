"""The web server's command line, one place for its options: `python -m iotportal.web --host 127.0.0.1 --port 8000`."""

import argparse

import uvicorn

KEEP_ALIVE_S = 75  # longer than a page's polling and a proxy's idle connections, so that neither has to open one anew
MAX_FRAME_BYTES = 64 * 1024


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    uvicorn.run(
        "iotportal.asgi:application",
        host=options.host,
        port=options.port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,  # frames are small, and compressing each costs more than the network does
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=2,
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # settings say whether a proxy is to be believed
    )


if __name__ == "__main__":
    main()
