"""Roles of a home's own and bindings: who may give what to whom, and what it means from then on."""

from __future__ import annotations

import pytest
from tests.core.access.room import Room

from dg.core.access.models import (
    GIVEN,
    SYSTEM,
    Action,
    Binding,
    CreateBinding,
    CreateRole,
    Principal,
    Role,
    Scope,
    UpdateRole,
)
from dg.core.access.standing import standing
from dg.core.errors import Forbidden, Invalid, Mismatch, NotFound, Problem, Refused
from dg.core.idempotency import Once
from dg.core.testing import eventually, person

ADMIN = person("admin", name="ada")
DAY = 86_400 * 1_000_000


async def someone(room: Room, role: str = "viewer", **more: str) -> tuple[str, str]:
    """The id and the secret of a person's token."""
    made = await room.tokens.create(SYSTEM, name="vera", role=role, kind="person", **more)  # type: ignore[arg-type]
    return made.token.id, made.secret


async def bound(room: Room, subject: str, role: str = "operator", **more: object) -> Binding:
    request = CreateBinding.model_validate({"subject": subject, "role": role, **more})
    return await room.bindings.create(SYSTEM, request)


async def releaser(room: Room, *actions: str) -> None:
    wanted = actions or ("deployment:read", "deployment:create")
    await room.roles.create(SYSTEM, CreateRole(name="releaser", actions=wanted))


# --- who may not


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
async def test_only_an_administrator_makes_roles_and_bindings(room: Room, role: Role) -> None:
    await releaser(room)
    subject, _ = await someone(room)
    binding = await bound(room, subject)
    caller = person(role)
    for forbidden in (
        room.roles.create(caller, CreateRole(name="x", actions=())),
        room.roles.update(caller, "releaser", UpdateRole(description="x")),
        room.roles.delete(caller, "releaser"),
        room.bindings.list(caller),
        room.bindings.create(caller, CreateBinding(subject=subject, role="viewer")),
        room.bindings.revoke(caller, binding.id),
        room.bindings.revoke(caller, "no-such"),
        room.access.explain(caller, "lane:lock", of=subject),
    ):
        with pytest.raises(Forbidden):
            await forbidden


async def test_an_administrator_of_staging_makes_no_role_since_roles_count_everywhere(room: Room) -> None:
    narrow = person("admin", environment="staging")
    await releaser(room)
    for forbidden in (
        room.roles.create(narrow, CreateRole(name="x", actions=())),
        room.roles.update(narrow, "releaser", UpdateRole(remove=("deployment:create",))),
        room.roles.delete(narrow, "releaser"),
    ):
        with pytest.raises(Forbidden, match="everywhere"):
            await forbidden


@pytest.mark.parametrize("scope", [{}, {"environment": "production"}, {"service": "shop"}])
async def test_an_administrator_of_staging_binds_nothing_beyond_it(room: Room, scope: dict[str, str]) -> None:
    narrow = person("admin", environment="staging")
    subject, _ = await someone(room)
    with pytest.raises(Forbidden, match="admin on staging"):
        await room.bindings.create(narrow, CreateBinding(subject=subject, role="viewer", **scope))
    made = await room.bindings.create(
        narrow, CreateBinding(subject=subject, role="viewer", environment="staging")
    )
    other = await bound(room, subject, environment="production")
    assert [each.id for each in (await room.bindings.list(narrow)).items] == [made.id]
    with pytest.raises(NotFound):
        await room.bindings.revoke(narrow, other.id)


async def test_nobody_gives_an_action_that_they_lack(room: Room) -> None:
    await releaser(room, "role:create", "role:update", "binding:create", "lane:lock")
    keeper, secret = await someone(room)
    await bound(room, keeper, "releaser")
    caller = await room.access.authenticate(secret)
    for forbidden in (
        room.roles.create(caller, CreateRole(name="more", actions=("lane:lock", "lane:freeze"))),
        room.roles.update(caller, "releaser", UpdateRole(add=("lane:freeze",))),
        room.bindings.create(caller, CreateBinding(subject=keeper, role="approver")),
    ):
        with pytest.raises(Forbidden, match="needs the role"):
            await forbidden
    await room.roles.create(caller, CreateRole(name="less", actions=("lane:lock",)))
    given = await room.bindings.create(caller, CreateBinding(subject=keeper, role="less"))
    assert (given.role, given.created_by) == ("less", keeper)


async def test_who_has_a_right_for_a_time_gives_it_for_no_longer(room: Room) -> None:
    guest, secret = await someone(room)
    until = room.clock.micros() + DAY
    await bound(room, guest, "admin", expires_at=until)
    caller = await room.access.authenticate(secret)
    for ends in (None, until + 1):
        with pytest.raises(Forbidden, match="for a time only"):
            await room.bindings.create(caller, CreateBinding(subject=guest, role="admin", expires_at=ends))
    with pytest.raises(Forbidden, match="for a time only"):
        await room.tokens.create(caller, name="x", role="admin", ttl=2 * 86400)
    await room.bindings.create(caller, CreateBinding(subject=guest, role="admin", expires_at=until))
    await room.tokens.create(caller, name="x", role="admin", ttl=3600)


async def test_who_has_a_right_for_a_time_puts_it_into_no_role(room: Room) -> None:
    guest, secret = await someone(room)
    await releaser(room)
    await bound(room, guest, "releaser")
    until = room.clock.micros() + DAY
    await bound(room, guest, "admin", expires_at=until)
    caller = await room.access.authenticate(secret)
    with pytest.raises(Forbidden, match="for a time only"):
        await room.roles.update(caller, "releaser", UpdateRole(add=("lane:freeze",)))
    await room.roles.update(caller, "releaser", UpdateRole(description="x"))


async def test_a_denied_binding_is_recorded(room: Room) -> None:
    with pytest.raises(Forbidden):
        await room.bindings.create(person("viewer"), CreateBinding(subject="clerk:user_1", role="admin"))

    async def recorded() -> bool:
        return bool(await room.facts("access.denied"))

    await eventually(recorded)
    (entry,) = await room.facts("access.denied")
    assert entry.payload["action"] == "binding:create"


# --- what a binding gives


async def test_a_binding_counts_for_whoever_is_connected_already(room: Room) -> None:
    subject, secret = await someone(room)
    assert not (await room.access.authenticate(secret)).may(Action.LANE_LOCK, "staging", "shop")
    binding = await bound(room, subject, "operator", environment="staging")
    caller = await room.access.authenticate(secret)
    assert caller.may(Action.LANE_LOCK, "staging", "shop")
    assert not caller.may(Action.LANE_LOCK, "production", "shop")
    assert [grant.binding for grant in caller.grants] == [None, binding.id]
    await room.bindings.revoke(ADMIN, binding.id)
    assert not (await room.access.authenticate(secret)).may(Action.LANE_LOCK, "staging", "shop")


async def test_a_binding_with_an_end_gives_nothing_after_it(room: Room) -> None:
    subject, secret = await someone(room)
    await bound(room, subject, "operator", expires_at=room.clock.micros() + DAY)
    assert (await room.access.authenticate(secret)).may(Action.LANE_LOCK)
    await room.clock.advance(86_400)
    assert not (await room.access.authenticate(secret)).may(Action.LANE_LOCK)
    assert (await room.bindings.list(ADMIN)).items == ()


@pytest.mark.parametrize("group", ["clerk-role:admin", "slack-group:S0123"])
async def test_a_binding_to_a_group_counts_for_all_who_come_with_it(room: Room, group: str) -> None:
    class Front:
        """Knows members by their names."""

        def recognises(self, credential: str) -> bool:
            return credential.startswith("member-")

        async def principal(self, credential: str, origin: object) -> Principal:
            return Principal(id=f"clerk:{credential}", name=credential, method="clerk", groups=(group,))

    room.access.accept(Front())
    await bound(room, group, "approver")
    for name in ("member-one", "member-two"):
        assert (await room.access.authenticate(name)).may(Action.LANE_FREEZE)
    await bound(room, "clerk:user_1", "operator")
    assert not (await room.access.authenticate("member-one")).may(Action.DEPLOYMENT_CREATE)


async def test_rights_count_for_what_was_decided_before(room: Room) -> None:
    subject, _ = await someone(room)
    binding = await bound(room, subject, "approver", environment="production")
    now = room.clock.micros()

    async def may() -> bool:
        found = await room.ground.db.read(lambda tx: standing(tx, [subject], now))
        return found[subject].may(Action.LANE_FREEZE, "production", "shop")

    assert await may()
    await room.bindings.revoke(ADMIN, binding.id)
    assert not await may()


async def test_revoking_a_binding_twice_changes_nothing(room: Room) -> None:
    binding = await bound(room, "clerk:user_1")
    first = await room.bindings.revoke(ADMIN, binding.id)
    await room.clock.advance(10)
    assert await room.bindings.revoke(ADMIN, binding.id) == first
    assert len(await room.facts("binding.revoked")) == 1


async def test_what_is_given_and_taken_back_is_recorded(room: Room) -> None:
    binding = await bound(room, "clerk:user_1", service="shop")
    await room.bindings.revoke(ADMIN, binding.id)
    (created,), (revoked,) = await room.facts("binding.created"), await room.facts("binding.revoked")
    said = {"binding": binding.id, "subject": "clerk:user_1", "role": "operator", "service": "shop"}
    assert created.payload == revoked.payload == said
    assert (created.object, revoked.actor) == (binding.id, ADMIN.id)


async def test_the_same_request_binds_once(room: Room) -> None:
    request = CreateBinding(subject="clerk:user_1", role="viewer")
    one = await room.bindings.create(ADMIN, request, Once("key", "print"))
    assert await room.bindings.create(ADMIN, request, Once("key", "print")) == one
    with pytest.raises(Mismatch):
        await room.bindings.create(ADMIN, request, Once("key", "other"))


async def test_bindings_are_listed_page_by_page_and_by_subject_and_role(room: Room) -> None:
    made = [await bound(room, f"clerk:user_{number}", "viewer") for number in range(5)]
    first = await room.bindings.list(ADMIN, limit=3)
    rest = await room.bindings.list(ADMIN, limit=3, cursor=first.next_cursor)
    assert [*first.items, *rest.items] == made
    assert rest.next_cursor is None
    assert (await room.bindings.list(ADMIN, subject="clerk:user_3")).items == (made[3],)
    assert (await room.bindings.list(ADMIN, role="operator")).items == ()


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("subject", {"subject": "ana"}),
        ("subject", {"subject": "local"}),
        ("subject", {"subject": "system"}),
        ("subject", {"subject": "clerk:user_1\n"}),
        ("role", {"role": "root"}),
        ("environment", {"environment": "prod"}),
        ("service", {"service": "../shop"}),
        ("expires_at", {"expires_at": 1}),
    ],
)
async def test_a_bad_binding_is_refused_by_its_field(
    room: Room, field: str, changed: dict[str, object]
) -> None:
    with pytest.raises(Invalid, match=f"^{field}:"):
        await bound(room, **{"subject": "clerk:user_1", **changed})  # type: ignore[arg-type]


# --- roles of a home's own


async def test_a_role_of_ones_own_gives_its_actions_and_no_other(room: Room) -> None:
    await releaser(room)
    _, secret = await someone(room, "releaser", environment="staging")
    caller = await room.access.authenticate(secret)
    allowed = {action for action in Action if caller.may(action, "staging", "shop")}
    assert allowed == {Action.DEPLOYMENT_READ, Action.DEPLOYMENT_CREATE}


async def test_a_changed_role_counts_at_once_for_all_who_hold_it(room: Room) -> None:
    await releaser(room)
    _, own = await someone(room, "releaser")
    subject, given = await someone(room)
    await bound(room, subject, "releaser")
    await room.roles.update(ADMIN, "releaser", UpdateRole(add=("lane:lock",), remove=("deployment:create",)))
    for secret in (own, given):
        caller = await room.access.authenticate(secret)
        assert caller.may(Action.LANE_LOCK)
        assert not caller.may(Action.DEPLOYMENT_CREATE)
    (fact,) = await room.facts("role.updated")
    assert fact.payload == {"role": "releaser", "added": ["lane:lock"], "removed": ["deployment:create"]}


async def test_a_role_is_deleted_when_nobody_holds_it(room: Room) -> None:
    await releaser(room)
    token, _ = await someone(room, "releaser")
    binding = await bound(room, "clerk:user_1", "releaser")
    with pytest.raises(Refused, match="held by 1 binding and 1 token; take") as caught:
        await room.roles.delete(ADMIN, "releaser")
    assert caught.value.reason == "in_use"
    await room.bindings.revoke(ADMIN, binding.id)
    await room.tokens.revoke(ADMIN, token)
    await room.roles.delete(ADMIN, "releaser")
    assert [role.name for role in await room.roles.list(ADMIN)] == list(Role)
    with pytest.raises(NotFound):
        await room.roles.get(ADMIN, "releaser")
    with pytest.raises(Invalid, match=r"^role:"):
        await bound(room, "clerk:user_1", "releaser")


@pytest.mark.parametrize("role", list(Role))
async def test_a_given_role_never_changes(room: Room, role: Role) -> None:
    with pytest.raises(Refused, match="is given"):
        await room.roles.update(ADMIN, role, UpdateRole(remove=("deployment:read",)))
    with pytest.raises(Refused, match="is given"):
        await room.roles.delete(ADMIN, role)
    with pytest.raises(Invalid, match="which is given"):
        await room.roles.create(ADMIN, CreateRole(name=role, actions=()))
    assert set((await room.roles.get(ADMIN, role)).actions) == GIVEN[role]


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("name", {"name": "Releaser"}),
        ("name", {"name": ""}),
        ("name", {"name": "op"}),
        ("description", {"description": "a\x1b[31mb"}),
        ("description", {"description": "a" * 501}),
        ("actions", {"actions": ("lane:paint",)}),
        ("actions", {"actions": ("\x1b[31m",)}),
    ],
)
async def test_a_bad_role_is_refused_by_its_field(room: Room, field: str, changed: dict[str, object]) -> None:
    wish = CreateRole.model_validate({"name": "releaser", "actions": (), **changed})
    with pytest.raises(Invalid, match=f"^{field}:") as caught:
        await room.roles.create(ADMIN, wish)
    assert caught.value.message.isprintable()


async def test_a_bad_change_of_a_role_is_refused(room: Room) -> None:
    await releaser(room)
    for wish, said in (
        (UpdateRole(), "nothing to change"),
        (UpdateRole(add=("lane:lock",), remove=("lane:lock",)), "in remove, too"),
        (UpdateRole(add=("x",)), "no action"),
    ):
        with pytest.raises(Invalid, match=said):
            await room.roles.update(ADMIN, "releaser", wish)
    with pytest.raises(NotFound):
        await room.roles.update(ADMIN, "ghost", UpdateRole(description="x"))


async def test_a_name_is_taken_once(room: Room) -> None:
    await releaser(room)
    with pytest.raises(Refused, match="already"):
        await releaser(room)


# --- the last administrator


async def test_an_administrator_does_not_lock_the_last_one_out(room: Room) -> None:
    token, secret = await someone(room, "admin")
    ana = await room.access.authenticate(secret)
    robot = await room.tokens.create(SYSTEM, name="robot", role="admin")
    service = await room.access.authenticate(robot.secret)
    for caller in (ana, service):
        with pytest.raises(Refused) as caught:
            await room.tokens.revoke(caller, token)
        assert caught.value.reason == "last_admin"
    await room.access.authenticate(secret)
    other, _ = await someone(room)
    binding = await bound(room, other, "admin")
    await room.tokens.revoke(service, token)
    with pytest.raises(Refused):
        await room.bindings.revoke(service, binding.id)
    with pytest.raises(Refused):
        await room.tokens.revoke(service, other)


async def test_who_stays_an_administrator_may_take_it_from_all_others(room: Room) -> None:
    """One who comes by a group is an administrator too, though no list names them."""
    token, _ = await someone(room, "admin")
    await room.tokens.revoke(person("admin", name="cleo"), token)


async def test_the_owner_of_the_machine_may_end_the_last_administrator(room: Room) -> None:
    """A stolen laptop's token must end at once, and the owner of the machine is never locked out."""
    token, _ = await someone(room, "admin")
    owner = await room.access.authenticate(await room.tokens.owner_token("olga"))
    assert (await room.tokens.revoke(owner, token)).revoked_at


async def test_where_no_person_administers_others_are_revoked_all_the_same(room: Room) -> None:
    robot = await room.tokens.create(SYSTEM, name="robot", role="admin")
    service = await room.access.authenticate(robot.secret)
    token, _ = await someone(room, "operator")
    binding = await bound(room, "clerk:user_1", "admin", environment="staging")
    await room.tokens.revoke(service, token)
    await room.bindings.revoke(service, binding.id)


# --- why


async def test_a_decision_names_the_binding_that_made_it(room: Room) -> None:
    subject, secret = await someone(room)
    binding = await bound(room, subject, "operator", environment="staging")
    caller = await room.access.authenticate(secret)
    yes = await room.access.explain(caller, "lane:lock", "staging", "shop")
    assert (yes.allowed, yes.grant and yes.grant.binding) == (True, binding.id)
    assert yes.why == f"operator on staging, by the binding {binding.id}"
    read = await room.access.explain(caller, "lane:read", "production")
    assert read.why == "viewer, by the credential itself"
    assert (await room.access.explain(ADMIN, "lane:lock", "staging", "shop", of=subject)) == yes


async def test_a_decision_says_what_is_missing(room: Room) -> None:
    await releaser(room, "lane:freeze")
    no = await room.access.explain(person("viewer", name="vera"), "lane:freeze", "production", "shop")
    assert not no.allowed
    assert no.why == "lane:freeze on shop/production needs the role admin or approver; vera has viewer"
    assert no.roles == ("admin", "approver", "releaser")
    assert no.grant is None


async def test_looking_ahead_is_no_denied_try(room: Room) -> None:
    await room.access.explain(person("viewer"), "lane:freeze")
    await room.entrance.flush()
    assert await room.facts("access.denied") == []


async def test_a_decision_about_a_group_or_a_stranger_can_be_asked_for(room: Room) -> None:
    await bound(room, "clerk-role:admin", "approver")
    assert (await room.access.explain(ADMIN, "lane:freeze", of="clerk-role:admin")).allowed
    stranger = await room.access.explain(ADMIN, "lane:freeze", of="clerk:user_1")
    assert stranger.why.endswith("clerk:user_1 has no role")


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("action", {"action": "lane:paint"}),
        ("environment", {"action": "lane:lock", "environment": "prod"}),
        ("service", {"action": "lane:lock", "service": "../x"}),
        ("subject", {"action": "lane:lock", "of": "ana"}),
    ],
)
async def test_a_bad_question_is_refused_by_its_field(
    room: Room, field: str, options: dict[str, str]
) -> None:
    with pytest.raises(Problem, match=f"^{field}:"):
        await room.access.explain(ADMIN, **options)


async def test_a_decision_about_a_key_looks_at_its_scopes_and_at_what_is_bound_to_it(room: Room) -> None:
    made = await room.keys.create(SYSTEM, name="ci", scopes=[Scope(action="lane:lock", service="shop")])
    await bound(room, made.key.id, "viewer", environment="staging")

    async def may(action: str, environment: str) -> bool:
        return (await room.access.explain(ADMIN, action, environment, "shop", of=made.key.id)).allowed

    assert await may("lane:lock", "production")
    assert await may("lane:read", "staging")
    assert not await may("lane:read", "production")
    await room.keys.revoke(ADMIN, made.key.id)
    assert not await may("lane:lock", "production")
