"""The systems that are compared: one file each says how it is started, with which settings, and what it guarantees."""

from benchmarks.systems import bytewax, confluent_loop, kafka_streams, ours, quix_streams, stock_faust
from benchmarks.systems.system import System

SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        ours.SYSTEM,
        stock_faust.SYSTEM,
        quix_streams.SYSTEM,
        bytewax.SYSTEM,
        confluent_loop.SYSTEM,
        kafka_streams.SYSTEM,
    )
}
