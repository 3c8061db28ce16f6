"""How accounts in Slack are kept, and the codes by which they become somebody's."""

from __future__ import annotations

import json
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.access.accounts import Account, SlackCode, SlackLink
from dg.core.database import Row, Statement, Tx

_a = schema.slack_accounts
_c = schema.slack_codes
_its = sa.and_(_a.c.team == bindparam("of_team"), _a.c.user == bindparam("of_user"))

_ALL = Statement(sa.select(_a).order_by(_a.c.linked_at, _a.c.id))
_ONE = Statement(sa.select(_a).where(_a.c.id == bindparam("link")))
_OF_ACCOUNT = Statement(sa.select(_a).where(_its))
_OF_PERSON = Statement(sa.select(_a).where(_a.c.person == bindparam("of_person")).order_by(_a.c.linked_at))
_INSERT = Statement(_a.insert())
_DELETE = Statement(_a.delete().where(_its))
_SET_GROUPS = Statement(_a.update().where(_its).values(groups=bindparam("new_groups")))
_CODE = Statement(sa.select(_c).where(_c.c.digest == bindparam("of_digest")))
_INSERT_CODE = Statement(_c.insert())
_TAKE_CODE = Statement(_c.delete().where(_c.c.digest == bindparam("of_digest")))
_FORGET_CODES = Statement(
    _c.delete().where(
        sa.or_(
            _c.c.expires_at <= bindparam("now"),
            sa.and_(_c.c.team == bindparam("of_team"), _c.c.user == bindparam("of_user")),
        )
    )
)


def slack_accounts(tx: Tx) -> list[SlackLink]:
    """All that are linked, the oldest first."""
    return [_link(row) for row in tx.all(_ALL)]


def slack_account(tx: Tx, link_id: str) -> SlackLink | None:
    row = tx.one(_ONE, link=link_id)
    return _link(row) if row else None


def slack_account_of(tx: Tx, account: Account) -> SlackLink | None:
    """The link of one account in Slack."""
    row = tx.one(_OF_ACCOUNT, of_team=account.team, of_user=account.user)
    return _link(row) if row else None


def slack_accounts_of(tx: Tx, person: str) -> list[SlackLink]:
    """The accounts of one principal."""
    return [_link(row) for row in tx.all(_OF_PERSON, of_person=person)]


def put_slack_account(tx: Tx, link: SlackLink) -> None:
    """Keep whose an account is; whose it was before does not count any more."""
    delete_slack_account(tx, link.account)
    tx.run(_INSERT, **link.model_dump(), groups=json.dumps(link.groups))


def delete_slack_account(tx: Tx, account: Account) -> None:
    tx.run(_DELETE, of_team=account.team, of_user=account.user)


def set_slack_groups(tx: Tx, account: Account, groups: Sequence[str]) -> None:
    """Keep which user groups an account is in."""
    tx.run(_SET_GROUPS, of_team=account.team, of_user=account.user, new_groups=json.dumps(list(groups)))


def insert_slack_code(tx: Tx, code: SlackCode, digest: str, now: int) -> None:
    """Keep the newest code of an account; those before it, and what is over, open nothing any more."""
    tx.run(_FORGET_CODES, now=now, of_team=code.team, of_user=code.user)
    tx.run(_INSERT_CODE, digest=digest, **code.model_dump())


def slack_code(tx: Tx, digest: str) -> SlackCode | None:
    row = tx.one(_CODE, of_digest=digest)
    return SlackCode.model_validate(row) if row else None


def take_slack_code(tx: Tx, digest: str) -> None:
    """Use a code up."""
    tx.run(_TAKE_CODE, of_digest=digest)


def _link(row: Row) -> SlackLink:
    return SlackLink.model_validate({**row, "groups": tuple(json.loads(row["groups"]))})
