"""The composition root of the worker: which processor runs on which topics, with which settings."""

from collections.abc import Mapping, Sequence
from typing import cast

from streams.adjudication.policy import Policy
from streams.agents.adjudicate import add_adjudicate_agent
from streams.agents.adjudicator import AdjudicatorFactory
from streams.agents.agreement_book import AgreementBook
from streams.agents.schema_wait import schemas_known
from streams.agents.tally import start_metrics
from streams.runtime.lane_app import LaneApp
from streams.runtime.processor import ProcessorFactory
from streams.runtime.reference import ReferenceFollower
from streams.runtime.settings import LaneSettings, StoreKind
from streams.runtime.transactions import OnStep
from streams.security import security_from_environment
from streams.settings import Settings
from streams.topics import (
    BILLING_DECISIONS,
    DEAD_LETTERS,
    INPUT_TOPICS,
    PATIENT_TABLE,
    PROVIDER_AGREEMENT,
    changelog_topic,
)


def create_app(
    settings: LaneSettings,
    make_processor: ProcessorFactory,
    *,
    followers: Sequence[ReferenceFollower] = (),
    on_step: OnStep | None = None,
) -> LaneApp:
    """A Faust app whose lanes run the given processor. Lanes open when the followers have read their topics."""
    app = LaneApp(settings, make_processor, followers=followers, on_step=on_step)
    add_adjudicate_agent(app)
    return app


def create_billing_app(settings: LaneSettings, policy: Policy, *, cache_claims: int) -> LaneApp:
    """The worker: adjudicates every fact under a policy and the provider agreements.

    `cache_claims` bounds the claims of decoded patients in memory, over all lanes.
    """
    start_metrics(policy)
    book = AgreementBook(settings.partitions)
    follower = ReferenceFollower(
        settings.bootstrap_servers, PROVIDER_AGREEMENT, book.take, settings.security, prepare=schemas_known
    )
    partitions = settings.partitions
    adjudicators = AdjudicatorFactory(book, follower, policy, cache_claims // partitions, partitions)
    return create_app(settings, adjudicators, followers=[follower])


def lane_settings(settings: Settings, bootstrap_servers: str, topic_ids: Mapping[str, str]) -> LaneSettings:
    """The lanes' settings from the command line's: all facts in, the patient table behind them."""
    read = {*INPUT_TOPICS, changelog_topic(settings.app_id)}
    lanes = LaneSettings(
        bootstrap_servers=bootstrap_servers,
        app_id=settings.app_id,
        input_topics=INPUT_TOPICS,
        partitions=settings.partitions,
        table=PATIENT_TABLE,
        dead_letter_topic=DEAD_LETTERS,
        decisions_topic=BILLING_DECISIONS,
        topic_ids={name: topic_id for name, topic_id in topic_ids.items() if name in read},
        store=cast(StoreKind, settings.store),
        state_folder=settings.worker_state_dir,
        session_timeout_seconds=settings.session_timeout_seconds,
        security=security_from_environment(),
    )
    assert lanes.changelog_topic == changelog_topic(settings.app_id), "one name for the changelog"
    return lanes
