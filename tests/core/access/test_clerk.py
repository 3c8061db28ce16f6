"""What a Clerk token must say to count, and whom it makes somebody here."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clerk import ORGANIZATION, PAGE, USER, Instance, forgeries, pem, rsa_key

from dg.core.access.clerk import Clerk, Identity
from dg.core.access.issuer import refusal
from dg.core.access.jwks import PinnedKey
from dg.core.access.models import Grant
from dg.core.errors import Unauthenticated
from dg.core.testing import NOON, ManualClock
from dg.settings.clerk import Clerk as Settings

NOW = NOON // 1_000_000
INSTANCE = Instance("https://clerk.example.org", lambda: NOW)
FORGERIES = forgeries(INSTANCE)
PINNED = {"kid unknown", "kid a path", "kid of SQL"}
"""What says nothing to a pinned key, which has no id."""

TEMPLATE = {"cat": "cl_B7d4PD222AAA"}
FOREIGN = "org_2other"


@pytest.fixture(scope="module")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> PinnedKey:
    file = tmp_path_factory.mktemp("keys") / "clerk.pem"
    file.write_bytes(pem(rsa_key()))
    return PinnedKey(file)


def clerk(pinned: PinnedKey, clock: ManualClock | None = None, /, **changes: object) -> Clerk:
    settings = Settings.model_validate(INSTANCE.settings(**changes))
    return Clerk(settings, pinned, clock or ManualClock(), leeway=5.0)


async def identity(pinned: PinnedKey, token: str, **changes: object) -> Identity:
    return await clerk(pinned, **changes).verify(token)


async def roles(pinned: PinnedKey, token: str, **changes: object) -> list[str]:
    return [grant.role for grant in (await identity(pinned, token, **changes)).grants]


async def refused(pinned: PinnedKey, token: str, **changes: object) -> bool:
    with pytest.raises(Unauthenticated) as error:
        await identity(pinned, token, **changes)
    return error.value.message == refusal().message


# --- what counts


async def test_a_session_token_says_who_it_is_and_until_when(pinned: PinnedKey) -> None:
    found = await identity(pinned, INSTANCE.token())
    assert found == Identity(
        user=USER,
        name=USER,
        expires_at=NOW + 60,
        impersonator=None,
        organization=ORGANIZATION,
        grants=(Grant(role="admin"),),
        groups=("clerk-role:admin",),
    )


@pytest.mark.parametrize("wrong", sorted(FORGERIES.keys() - PINNED))
async def test_a_forged_token_is_nobodys(pinned: PinnedKey, wrong: str) -> None:
    assert await refused(pinned, FORGERIES[wrong])


@pytest.mark.parametrize("early", [5, 0])
async def test_clocks_may_differ_by_the_leeway_and_no_more(pinned: PinnedKey, early: int) -> None:
    made = INSTANCE.claims()
    for name, bound in (("nbf", NOW + 5), ("iat", NOW + 5)):
        token = INSTANCE.token(**{**made, name: bound - early, "exp": NOW + 60})
        assert (await identity(pinned, token)).user == USER
        assert await refused(pinned, INSTANCE.token(**{**made, name: bound + 1, "exp": NOW + 60}))


async def test_a_token_that_ended_is_over_for_those_who_knew_it(pinned: PinnedKey) -> None:
    clock = ManualClock()
    verifier = clerk(pinned, clock)
    found = await verifier.verify(INSTANCE.token())
    clock.jump(64.9)
    assert not verifier.is_over(found)
    clock.jump(0.2)
    assert verifier.is_over(found)


async def test_a_lifetime_may_be_as_long_as_the_settings_say(pinned: PinnedKey) -> None:
    long = INSTANCE.token(exp=NOW + 3600)
    assert await roles(pinned, long) == ["admin"]
    assert await refused(pinned, long, lifetime_max=3599)


async def test_tokens_of_templates_count_where_the_settings_say_so(pinned: PinnedKey) -> None:
    token = INSTANCE.token(TEMPLATE, sid=None, exp=NOW + 600)
    assert await refused(pinned, token)
    assert (await identity(pinned, token, templates=True)).user == USER


async def test_a_token_without_azp_counts_where_the_settings_say_so(pinned: PinnedKey) -> None:
    assert await roles(pinned, INSTANCE.token(azp=None), allow_missing_azp=True) == ["admin"]
    assert await refused(pinned, INSTANCE.token(azp="https://evil.example"), allow_missing_azp=True)


@pytest.mark.parametrize("given", ["dg", ["dg"], ["other", "dg"]])
async def test_an_audience_is_asked_for_where_the_settings_have_one(pinned: PinnedKey, given: object) -> None:
    assert await roles(pinned, INSTANCE.token(aud=given), audience="dg") == ["admin"]


@pytest.mark.parametrize("given", [None, "other", [], ["dg-2"]])
async def test_a_token_for_another_audience_is_nobodys(pinned: PinnedKey, given: object) -> None:
    assert await refused(pinned, INSTANCE.token(aud=given), audience="dg")


async def test_who_acts_for_somebody_is_known(pinned: PinnedKey) -> None:
    token = INSTANCE.token(act={"iss": "https://dashboard.clerk.com", "sub": "user_2eve"})
    assert (await identity(pinned, token)).impersonator == "user_2eve"


async def test_a_name_is_read_from_the_claim_of_the_settings(pinned: PinnedKey) -> None:
    token = INSTANCE.token(email="ana@example.org")
    assert (await identity(pinned, token)).name == USER
    assert (await identity(pinned, token, name_claim="email")).name == "ana@example.org"


@pytest.mark.parametrize("value", [None, "", "   ", 7, ["ana"]])
async def test_without_a_name_it_is_the_id(pinned: PinnedKey, value: object) -> None:
    assert (await identity(pinned, INSTANCE.token(email=value), name_claim="email")).name == USER


async def test_a_name_cannot_act_on_whoever_reads_it(pinned: PinnedKey) -> None:
    name = "\x1b[2J" + "a" * 500 + "\u202e"
    found = (await identity(pinned, INSTANCE.token(full=name), name_claim="full")).name
    assert len(found) == 100
    assert found.isprintable()
    assert "\x1b" not in found


# --- what they may do

PERMISSIONS = [
    {"to": "permission:deploys:approve", "role": "approver", "environment": "production", "service": "shop"},
    {"to": "permission:org:deploys:start", "role": "operator"},
    {"to": "permission:audit:read", "role": "viewer"},
]


@pytest.mark.parametrize("written", ["role:admin", "role:org:admin"])
@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"o": {"id": ORGANIZATION, "rol": "org:admin"}},
        {"v": None, "o": None, "org_id": ORGANIZATION, "org_role": "org:admin"},
        {"v": 1, "o": None, "org_id": ORGANIZATION, "org_role": "admin"},
    ],
)
async def test_a_role_is_the_same_in_both_versions(
    pinned: PinnedKey, claims: dict[str, Any], written: str
) -> None:
    grants = [{"to": written, "role": "operator", "environment": "staging"}]
    found = await identity(pinned, INSTANCE.token(**claims), grants=grants)
    assert found.grants == (Grant(role="operator", environment="staging"),)
    assert found.groups == ("clerk-role:admin",)


async def test_each_version_is_read_by_its_own_claims_alone(pinned: PinnedKey) -> None:
    both = {"org_id": ORGANIZATION, "org_role": "org:admin", "o": None}
    assert await roles(pinned, INSTANCE.token(v=2, **both)) == []
    assert await roles(pinned, INSTANCE.token(v=1)) == []


async def test_permissions_of_version_1_are_a_list(pinned: PinnedKey) -> None:
    claims = {"v": 1, "o": None, "org_id": ORGANIZATION, "org_permissions": ["org:deploys:approve"]}
    found = await identity(pinned, INSTANCE.token(**claims), grants=PERMISSIONS)
    assert found.grants == (Grant(role="approver", environment="production", service="shop"),)


@pytest.mark.parametrize(
    ("features", "names", "packed", "expected"),
    [
        ("o:deploys", "approve,start", "1", ["approver"]),
        ("o:deploys", "approve,start", "2", ["operator"]),
        ("o:deploys", "approve,start", "3", ["approver", "operator"]),
        ("u:billing,o:deploys", "approve,start", "3", ["approver", "operator"]),
        ("uo:audit,o:deploys", "read,approve,start", "1,6", ["approver", "operator", "viewer"]),
        ("o:audit, o:deploys", "read, approve, start", "1, 2", ["approver", "viewer"]),
        ("o:deploys", "approve,start", "0", []),
        ("u:deploys", "approve,start", "3", []),
        ("o:deploys", "approve,start", "", []),
        ("o:deploys", "approve,start", "-1", []),
        ("o:deploys", "approve,start", "0x3", []),
        ("o:deploys", "approve,start", "٣", []),
        ("o:deploys", "approve", "9" * 200, []),
        ("", "approve,start", "3", []),
    ],
)
async def test_permissions_of_version_2_are_unpacked(
    pinned: PinnedKey, features: str, names: str, packed: str, expected: list[str]
) -> None:
    organization = {"id": ORGANIZATION, "rol": "member", "per": names, "fpm": packed}
    token = INSTANCE.token(fea=features, o=organization)
    assert sorted(await roles(pinned, token, grants=PERMISSIONS)) == expected


@pytest.mark.parametrize(
    "claims",
    [
        {"o": {"id": FOREIGN, "rol": "admin"}},
        {"v": 1, "o": None, "org_id": FOREIGN, "org_role": "org:admin"},
        {"o": None},
        {"v": 1, "o": None},
    ],
)
async def test_an_organisation_that_anybody_may_found_gives_nothing(
    pinned: PinnedKey, claims: dict[str, Any]
) -> None:
    found = await identity(pinned, INSTANCE.token(**claims))
    assert (found.grants, found.groups) == ((), ())


async def test_a_user_may_have_a_role_outside_of_any_organisation(pinned: PinnedKey) -> None:
    grants = [{"to": f"user:{USER}", "role": "viewer"}, {"to": "user:user_2eve", "role": "admin"}]
    token = INSTANCE.token(o=None)
    assert await roles(pinned, token, grants=grants, organizations=None) == ["viewer"]


# --- the settings


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"issuer": None}, "needs access.clerk.issuer"),
        ({"authorized_parties": None}, "needs access.clerk.authorized_parties"),
        ({"organizations": None}, "need access.clerk.organizations"),
        ({"jwks_url": "https://a.example/keys", "pem_file": "clerk.pem"}, "set one of them"),
        ({"issuer": "https://clerk.example.org/"}, "ends with a slash"),
        ({"issuer": "http://clerk.example.org"}, "is not https"),
        ({"jwks_url": "http://clerk.example.org/keys"}, "is not https"),
        ({"jwks_url": "https://me:secret@clerk.example.org/keys"}, "no plain address"),
        ({"jwks_url": "https://clerk.example.org:99999/keys"}, "[Pp]ort"),
        ({"jwks_url": "file:///etc/passwd"}, "no plain address"),
        ({"grants": [{"to": "admin", "role": "admin"}]}, "to"),
        ({"grants": [{"to": "role:admin", "role": "owner"}]}, "role"),
        ({"grants": [{"to": "role:admin", "role": "admin", "environment": "live"}]}, "environment"),
    ],
)
def test_settings_that_would_let_others_in_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings.model_validate(INSTANCE.settings(**changes))


def test_keys_are_looked_for_below_the_issuer() -> None:
    assert Settings.model_validate(INSTANCE.settings()).keys_url == f"{INSTANCE.issuer}/.well-known/jwks.json"
    assert Settings.model_validate(INSTANCE.settings(jwks_url="http://127.0.0.1:1/k")).keys_url.endswith("/k")
    assert PAGE in Settings.model_validate(INSTANCE.settings()).authorized_parties
