"""`pathway-billing broker`: run the embedded Apache Kafka until stopped."""

import signal
import time

import click

from deploy.broker import (
    DEFAULT_PORT,
    KAFKA_VERSION,
    BrokerError,
    DataFolderInUseError,
    DataFolderUnusableError,
    EmbeddedBroker,
    PortTakenError,
)
from streams.settings import ProblemError, Settings, UsageError, environment_option, settings_options

_PORT = click.IntRange(0, 65535)


@click.command(name="broker")
@settings_options("data_dir")
@environment_option(
    "PORT",
    "--port",
    type=_PORT,
    default=DEFAULT_PORT,
    show_default=True,
    help="Port for clients; 0 takes a free one.",
)
@environment_option(
    "CONTROLLER_PORT",
    "--controller-port",
    type=_PORT,
    default=0,
    help="Port that Kafka uses for itself.  [default: a free one]",
)
@environment_option(
    "HEAP",
    "--heap",
    "heap_mb",
    type=click.IntRange(min=128),
    default=512,
    show_default=True,
    help="Java heap in MiB.",
)
def command(settings: Settings, port: int, controller_port: int, heap_mb: int) -> None:
    """Run the embedded Apache Kafka until stopped (Ctrl-C or SIGTERM).

    It listens on 127.0.0.1 only and keeps its records in the data folder, where the next start finds them again. Kafka is
    fetched from Maven Central on first use, or from the mirror at the address in PATHWAY_BILLING_MAVEN_REPOSITORY; or it is taken
    from the folder of jars in PATHWAY_BILLING_KAFKA_JARS (libs of an unpacked Apache Kafka).
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    broker = EmbeddedBroker(
        settings.broker_dir,
        port,
        controller_port=controller_port,
        heap_mb=heap_mb,
        for_long=True,
        announce=lambda sentence: click.echo(sentence, err=True),
    )
    try:
        broker.start()
        click.echo(f"ready: Apache Kafka {KAFKA_VERSION} on {broker.bootstrap_servers}, data in {settings.data_dir}")
        while broker.poll() is None:
            time.sleep(0.2)
        raise broker.death_notice()
    except KeyboardInterrupt:
        pass  # asked to stop, which is how this command is meant to end
    except (PortTakenError, DataFolderInUseError, DataFolderUnusableError) as error:
        raise UsageError(str(error)) from error  # another value of an option cures it
    except BrokerError as error:
        raise ProblemError(str(error)) from error
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # stopping already, and it takes a second at most
        broker.stop()
