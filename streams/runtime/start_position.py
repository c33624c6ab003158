"""Where a lane that opens begins to read, and whether that can be true.

Missing evidence must not become a decision: a table that was lost while the group had already committed offsets, or an input
topic that is not the one that was read before, stops the worker with the ways out.
"""

import dataclasses
import logging
from collections.abc import Mapping

import aiokafka
from aiokafka.structs import TopicPartition

from streams.runtime.failure import WorkerFailure
from streams.runtime.position import POSITION_KEY, Position
from streams.runtime.settings import LaneSettings
from streams.runtime.stores import Store

log = logging.getLogger(__name__)


async def start_position(
    store: Store, consumer: aiokafka.AIOKafkaConsumer, partition: int, settings: LaneSettings
) -> Position:
    """The position of the last committed transaction, as nobody's yet.

    Topics it does not know start at the group's offset or the beginning. Call it after the fence and the recovery: before the
    fence, a commit may still be on its way.
    """
    stored = store.get(POSITION_KEY)
    position = Position({}) if stored is None else Position.decode(stored)
    _check_topic_ids(position.topic_ids, settings.topic_ids)
    if position.partitions not in (0, settings.partitions):
        raise WorkerFailure(
            f"partition {partition} was decided as one of {position.partitions}; now there are to be {settings.partitions}",
            "The number is for life: with another one a patient's facts come to other partitions than the patient's record. Set "
            f"PATHWAY_BILLING_PARTITIONS={position.partitions}, or decide everything anew from new topics",
        )
    inputs = {topic: TopicPartition(topic, partition) for topic in settings.input_topics}
    begins = await consumer.beginning_offsets(list(inputs.values()))
    ends = await consumer.end_offsets(list(inputs.values()))
    offsets = dict(position.offsets)
    for topic, tp in inputs.items():
        if topic not in offsets:
            committed: int | None = await consumer.committed(tp)
            if stored is None and committed:
                raise _table_lost(settings, partition)
            offsets[topic] = begins[tp] if committed is None else committed
        if not begins[tp] <= offsets[topic] <= ends[tp]:
            raise WorkerFailure(
                f"partition {partition} stands at offset {offsets[topic]} of {topic}, which holds {begins[tp]} to {ends[tp]}",
                "The topic was made again, truncated, or lost records to retention (facts are kept for ever). Restore it, or "
                "decide everything anew under another application id (--app-id)",
            )
    if stored is None and settings.decisions_topic:
        await _warn_of_decisions(consumer, TopicPartition(settings.decisions_topic, partition), settings.app_id)
    return dataclasses.replace(
        position,
        offsets=offsets,
        topic_ids={**position.topic_ids, **settings.topic_ids},
        writer="",
        partitions=settings.partitions,
    )


async def _warn_of_decisions(consumer: aiokafka.AIOKafkaConsumer, tp: TopicPartition, app_id: str) -> None:
    """Nothing says that it is a mistake: somebody may want all facts to be decided anew. Its readers have to start anew, too."""
    if (await consumer.end_offsets([tp]))[tp] > (await consumer.beginning_offsets([tp]))[tp]:
        log.warning(
            "partition %d: %s holds decisions, but application id %s has decided nothing here yet. Every fact will be decided "
            "again, with versions from 1 behind those that are there; if that is not what you want, stop and use the application "
            "id that decided them",
            tp.partition,
            tp.topic,
            app_id,
        )


def _check_topic_ids(known: Mapping[str, str], current: Mapping[str, str]) -> None:
    for topic, topic_id in current.items():
        if known.get(topic, topic_id) != topic_id:
            raise WorkerFailure(
                f"{topic} was deleted and made again since its records were processed",
                "The table still holds the effects of the former records. Restore the topic, or decide everything anew under "
                "another application id (--app-id)",
            )


def _table_lost(settings: LaneSettings, partition: int) -> WorkerFailure:
    return WorkerFailure(
        f"{settings.changelog_topic}/{partition} holds no position although group {settings.app_id} has committed offsets: "
        "the table was lost",
        "Restore the changelog; or delete the group's offsets to decide everything anew from the first fact",
    )
