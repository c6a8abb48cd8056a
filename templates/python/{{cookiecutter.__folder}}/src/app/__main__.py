"""Run the service: `python -m app`."""

import signal
import sys


def main() -> int:
    """Serve until a stop signal, and return the exit code."""
    # First of all, as a process 1 without a handler ignores the signal, and the imports take a while.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))

    import logging

    from app import logs, settings

    logger = logging.getLogger("app")
    try:
        config = settings.load()
    except settings.ConfigurationError as error:
        logs.configure("info", sys.stderr)
        logger.error("configuration refused: %s", error)
        return 1
    logs.configure(config.log_level)

    import gc

    from app import server, workers
    from app.lifecycle import Lifecycle
    from app.main import create_app
    from app.network import listen

    try:
        listeners = listen(config.port)
    except OSError as error:
        logger.error("cannot listen", extra={"error": str(error)})
        return 1
    lifecycle = Lifecycle()
    app = create_app(config, lifecycle)
    if config.workers > 1:
        gc.freeze()  # what is loaded by now stays in memory that the workers share
        code = workers.fork(config.workers, listeners, config.shutdown_timeout)
        if code is not None:
            return code
    facts = {"port": config.port, "version": config.service_version, "revision": config.service_revision}
    logger.info("started", extra=facts)
    # uvicorn raises the stop signal once more when it is done, which the handler above turns into exit code 0.
    server.Server(server.Config(app, config, lifecycle)).run(sockets=listeners)
    return 0


if __name__ == "__main__":
    sys.exit(main())
