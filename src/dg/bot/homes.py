"""App Home: drawn when somebody opens it, asks for it anew, or acts in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from dg.bot.auth import Doorkeeper
from dg.bot.client import SlackApi, SlackProblem
from dg.bot.messages import answers, home
from dg.bot.messages.blocks import Rendered
from dg.bot.messages.deployments import waits_for_approval
from dg.bot.messages.home import Board
from dg.core.access.accounts import Account
from dg.core.access.models import Action, Principal
from dg.core.app import Core
from dg.core.deployments.models import Deployment
from dg.core.errors import Problem
from dg.core.types import Environment

log = logging.getLogger(__name__)

_MOST = 20


class Homes:
    """The homes of one workspace's people."""

    def __init__(
        self, core: Core, api: SlackApi, doorkeeper: Doorkeeper, url: Callable[[Deployment], str | None]
    ) -> None:
        self._core = core
        self._url = url
        self._api = api
        self._doorkeeper = doorkeeper

    async def show(self, account: Account) -> None:
        """Publish the home of one person."""
        try:
            view = await self._view(account)
            await self._api.call("views.publish", user_id=account.user, view=view)
        except SlackProblem as problem:
            log.warning("a home could not be shown: %s", problem.code)

    async def _view(self, account: Account) -> dict[str, Any]:
        try:
            who = await self._doorkeeper.let_in(account)
            if isinstance(who, Principal):
                return home.board(await self._board(who))
            answer: Rendered = who
        except Problem as problem:
            answer = answers.problem(problem.message)
        return home.stranger(answer.blocks[0])

    async def _board(self, who: Principal) -> Board:
        core = self._core
        lanes = await core.lanes.list(who) if who.reaches(Action.LANE_READ) else ()
        waiting = (await core.deployments.list(who, status="pending", limit=_MOST)).items
        recent = (await core.deployments.list(who, limit=_MOST)).items
        whole = [await core.deployments.get(who, each.id) for each in waiting]
        mine = [each for each in whole if waits_for_approval(each) and _may_approve(who, each)]
        used = [lane for lane in lanes if lane.current or lane.holder or lane.state.closed]
        seen = [each for each in Environment if who.may(Action.ENVIRONMENT_READ, each)]
        health = [await core.health.health(who, each) for each in seen]
        return Board(who, used, mine, recent, core.clock.micros(), health, self._url)


def _may_approve(who: Principal, told: Deployment) -> bool:
    where = told.environment.value, told.service
    return told.created_by != who.id and who.may(Action.DEPLOYMENT_APPROVE, *where)
