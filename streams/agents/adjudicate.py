"""The agent over all facts: hands what was fetched to the lane of its partition."""

from typing import Any

from streams.runtime.lane_app import LaneApp


def add_adjudicate_agent(app: LaneApp) -> None:
    """Give the app its one agent. One instance serves all partitions; what runs side by side are the lanes."""

    @app.agent(app.facts, name="adjudicate")
    async def adjudicate(facts: Any) -> None:
        async for event in facts.events():
            app.lanes.deliver(event)
