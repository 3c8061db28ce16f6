"""Facts about reading `dg.toml`."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.deployments.pipeline.samples import FULL, HEAD, with_run, with_step

from dg.core.deployments.models import Kind
from dg.core.deployments.pipeline import parse, sha256
from dg.core.errors import Invalid
from dg.core.types import Environment


def errors_of(text: str | bytes) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        parse(text)
    caught.value.message.encode("utf-8")
    errors = caught.value.details["errors"]
    assert isinstance(errors, list)
    return {error["field"]: error["message"] for error in errors}


def test_a_full_pipeline_is_read() -> None:
    pipeline = parse(FULL)
    assert (pipeline.version, pipeline.service) == (1, "web")
    assert [step.name for step in pipeline.steps] == [
        *("image", "migrate", "rollout", "switch", "smoke", "port", "tell")
    ]
    assert pipeline.steps[1].timeout == 5400
    assert pipeline.steps[4].check is not None
    assert (pipeline.steps[4].check.status, pipeline.steps[4].check.steady) == ((200, 204), 120)
    assert (pipeline.rollback.auto, pipeline.rollback.lock) == ("failed", 0)
    assert pipeline.settings(Environment.PRODUCTION)["targets"] == "eu-1, us-1"
    assert pipeline.settings(Environment.DEVELOPMENT) == {}


def test_what_is_left_out_has_careful_defaults() -> None:
    pipeline = parse(with_run().encode())
    source, defaults, step = pipeline.source, pipeline.defaults, pipeline.steps[0]
    assert (source.ref, source.trust, source.pipeline, source.path) == (
        "main",
        "protected",
        "registered",
        "dg.toml",
    )
    assert (defaults.timeout, defaults.idle, defaults.grace, defaults.env_pass) == (900, 0, 10, ())
    assert (step.reversible, step.cancel, step.when, step.background, step.secrets) == (
        True,
        "kill",
        "success",
        False,
        (),
    )
    assert (pipeline.rollback.auto, pipeline.rollback.lock) == ("verify_failed", 1800)


@pytest.mark.parametrize(
    ("step", "kinds"),
    [
        ('phase = "build"', {Kind.DEPLOY}),
        ('phase = "deploy"', set(Kind)),
        ('phase = "verify"', set(Kind)),
        ('phase = "deploy"\non = ["deploy", "rollback"]', {Kind.DEPLOY, Kind.ROLLBACK}),
        ('phase = "build"\non = ["deploy", "redeploy"]', {Kind.DEPLOY, Kind.REDEPLOY}),
    ],
)
def test_only_a_deploy_builds_unless_the_step_says_so(step: str, kinds: set[Kind]) -> None:
    read = parse(with_step(f'{step}\nrun = ["true"]')).steps[0]
    assert {kind for kind in Kind if read.runs_on(kind)} == kinds


@pytest.mark.parametrize(
    ("text", "field", "why"),
    [
        (with_run("timeoutt = 1"), "step[0].timeoutt", "did you mean `timeout`?"),
        (with_run("zzz = 1"), "step[0].zzz", "known are name, phase, run"),
        (with_run(after="[zzz]"), "zzz", "known are version, service, source"),
        (with_run(after="[rollback]\naut = 1"), "rollback.aut", "did you mean `auto`?"),
        (with_run(after="[env.production.setings]"), "env.production.setings", "did you mean `settings`?"),
        (
            with_run(after="[env.prod.settings]"),
            "env.prod",
            'must be "development", "staging" or "production"',
        ),
        (with_run("timeout = '15 minutes'"), "step[0].timeout", 'such as "90s"'),
        (with_run("timeout = 0"), "step[0].timeout", "over 0"),
        (with_run("timeout = '25h'"), "step[0].timeout", "at most 24h"),
        (with_run("idle = -1"), "step[0].idle", "0 turns it off"),
        (with_run("grace = true"), "step[0].grace", "must be a duration"),
        (with_run("when = 'never'"), "step[0].when", 'must be "success", "failure" or "always"'),
        (with_run("cancel = 'no'"), "step[0].cancel", 'must be "kill" or "finish"'),
        (with_run("on = ['release']"), "step[0].on[0]", 'must be "deploy", "redeploy" or "rollback"'),
        (with_run("on = []"), "step[0].on", "must not be empty"),
        (with_run("on = 'deploy'"), "step[0].on", "must be a list"),
        (with_run("reversible = 'no'"), "step[0].reversible", "must be true or false"),
        (with_run("background = 1"), "step[0].background", "must be true or false"),
        (with_run("secrets = ['Token']"), "step[0].secrets[0]", "lower case"),
        (with_run("secrets = ['dg_token']"), "step[0].secrets[0]", "may not begin with DG_"),
        (with_run("secrets = ['path']"), "step[0].secrets[0]", "would replace the variable PATH"),
        (with_run("secrets = ['a', 'a']"), "step[0].secrets", "twice"),
        (with_run("env = { A = 1 }"), "step[0].env.A", "must be a string in quotes"),
        (with_run("env = { 'A=B' = '1' }"), "step[0].env.A=B", "must be the name of an environment variable"),
        (with_run("env = { DG_SHA = 'x' }"), "step[0].env.DG_SHA", "may not begin with DG_"),
        (with_run("env = { TOKEN = 'x' }\nsecrets = ['token']"), "step[0].env.TOKEN", "already the variable"),
        (with_run("env = { A = '{outputs.a}' }"), "step[0].env.A", "may not use `{outputs.a}`"),
        (with_run("output = { Image = 'x' }"), "step[0].output.Image", "lower case"),
        (with_run('output = { image = "a\\nb" }'), "step[0].output.image", "control characters"),
        (with_run("shell = 'x'"), "step[0]", "exactly one of run, shell and check"),
        (with_step('phase = "deploy"'), "step[0]", "exactly one of run, shell and check"),
        (with_step('phase = "deploy"\nrun = []'), "step[0].run", "must not be empty"),
        (with_step('phase = "deploy"\nrun = [""]'), "step[0].run[0]", "must name a program"),
        (with_step('phase = "deploy"\nrun = "make deploy"'), "step[0].run", "must be a list"),
        (with_step('phase = "deploy"\nrun = ["a", 1]'), "step[0].run[1]", "must be a string"),
        (with_step('phase = "deploy"\nrun = ["a\\u0000"]'), "step[0].run[0]", "NUL"),
        (with_step('phase = "deploy"\nrun = ["{nope}"]'), "step[0].run[0]", "unknown placeholder `{nope}`"),
        (with_step('phase = "deploy"\nshell = ""'), "step[0].shell", "must not be empty"),
        (with_step('phase = "deploy"\nshell = "x {version}"'), "step[0].shell", '"$DG_VERSION"'),
        (with_step('phase = "ship"\nrun = ["x"]'), "step[0].phase", 'must be "build", "deploy" or "verify"'),
        (with_step('run = ["x"]'), "step[0].phase", "is required"),
        (HEAD, "step", "is required"),
        ("step = []" + HEAD, "step", "must not be empty"),
        (HEAD + "[step]", "step", "must be a list"),
        (with_run().replace('name = "one"', 'name = "One"'), "step[0].name", "lower case"),
        (with_run().replace('service = "web"', 'service = "../web"'), "service", "lower case"),
        (with_run().replace("version = 1", "version = 2"), "version", "must be 1"),
        (with_run().replace("version = 1", "version = '1'"), "version", "must be 1"),
        (with_run().replace("version = 1", "version = true"), "version", "must be 1"),
        (with_run().replace("version = 1", "version = 1.0"), "version", "must be 1"),
        (with_run().replace("git@github.com:acme/web.git", "ext::sh"), "source.git", "not a git address"),
        (with_run().replace("[source]", "[source]\nref = '--x'"), "source.ref", "plain name"),
        (with_run().replace("[source]", "[source]\npath = '../x'"), "source.path", "inside the repository"),
        (with_run().replace("[source]", "[source]\npath = '/x'"), "source.path", "inside the repository"),
        (
            with_run().replace("[source]", "[source]\npipeline = 'branch'"),
            "source.pipeline",
            '"registered" or "repo"',
        ),
        (
            with_run(after="[defaults]\nenv_pass = ['DG_TOKEN']"),
            "defaults.env_pass[0]",
            "may not begin with DG_",
        ),
        (with_run(after="[rollback]\nstrategy = 'steps'"), "rollback.strategy", 'must be "redeploy"'),
        (with_run(after="[env.staging]\nsettings = { A = '1' }"), "env.staging.settings.A", "lower case"),
        (with_run(after="[env.staging]\nsettings = { port = 80 }"), "env.staging.settings.port", "in quotes"),
    ],
)
def test_a_mistake_is_named_with_its_field_and_the_way_out(text: str, field: str, why: str) -> None:
    errors = errors_of(text)
    assert list(errors) == [field]
    assert why in errors[field]


@pytest.mark.parametrize(
    ("check", "field", "why"),
    [
        ("{}", "", "exactly one of http, tcp, command and probes"),
        ("{ http = 'https://x', tcp = 'x:1' }", "", "exactly one of"),
        ("{ http = 'ftp://x' }", ".http", "http:// or https://"),
        ("{ http = 'https://x/ y' }", ".http", "http:// or https://"),
        ("{ http = 'https://x', status = 99 }", ".status[0]", "greater than or equal to 100"),
        ("{ http = 'https://x', status = [] }", ".status", "must not be empty"),
        ("{ http = 'https://x', status = '200' }", ".status", "must be a list"),
        ("{ http = 'https://x', headers = { 'a b' = '1' } }", ".headers.a b", "HTTP header"),
        ('{ http = "https://x", headers = { a = "1\\r\\nb: 2" } }', ".headers.a", "control characters"),
        ("{ http = 'https://x', timeout = 0 }", ".timeout", "over 0"),
        ("{ http = 'https://x', forr = 0 }", ".forr", "did you mean `for`?"),
        ("{ tcp = 'x' }", ".tcp", "host:port"),
        ("{ tcp = 'x:1', status = 200 }", ".status", "http check only"),
        ("{ tcp = 'x:1', probes = ['web'] }", "", "exactly one of http, tcp, command and probes"),
        ("{ probes = [] }", ".probes", "must not be empty"),
        ("{ probes = ['web', 'web'] }", ".probes", "twice"),
        ("{ probes = ['Web'] }", ".probes[0]", "name of a probe"),
        ("{ probes = ['web'], timeout = '5s' }", ".timeout", "remove it"),
        ("{ probes = ['web'], status = 200 }", ".status", "http check only"),
        ("{ command = ['x'], contains = 'y' }", ".contains", "http check only"),
        ("{ command = [] }", ".command", "must not be empty"),
        ("{ command = ['{x}'] }", ".command[0]", "unknown placeholder"),
    ],
)
def test_a_mistake_in_a_check_is_named(check: str, field: str, why: str) -> None:
    errors = errors_of(with_step(f'phase = "verify"\ncheck = {check}'))
    assert list(errors) == [f"step[0].check{field}"]
    assert why in errors[f"step[0].check{field}"]


@pytest.mark.parametrize("key", ["judge", "targets"])
def test_a_step_key_that_is_coming_is_refused_as_such(key: str) -> None:
    assert errors_of(with_run(f"{key} = 1")) == {f"step[0].{key}": "is not available yet; remove it"}


@pytest.mark.parametrize(("field", "rest"), [("idle", "idle = 5"), ("background", "background = true")])
def test_a_check_has_neither_idle_time_nor_background(field: str, rest: str) -> None:
    errors = errors_of(with_step(f'phase = "verify"\ncheck = {{ tcp = "x:1" }}\n{rest}'))
    assert "does not apply to a check" in errors[f"step[0].{field}"]


def test_phases_follow_their_order_and_names_are_unique() -> None:
    step = '[[step]]\nname = "{}"\nphase = "{}"\nrun = ["true"]\n'
    text = HEAD + step.format("a", "deploy") + step.format("b", "build") + step.format("a", "verify")
    errors = errors_of(text)
    assert errors["step[1].phase"] == "is build after a deploy step; the order is build, deploy, verify"
    assert errors["step[2].name"] == "is the second step named `a`"


def test_a_setting_that_no_environment_has_is_a_mistake() -> None:
    text = with_run("env = { A = '{env.domian}' }", after="[env.staging.settings]\ndomain = 'x'")
    assert errors_of(text) == {"step[0].env.A": "uses {env.domian}, but no [env.*.settings] has `domian`"}


def test_all_mistakes_are_said_at_once() -> None:
    text = with_run("timeout = 0\nwhen = 'x'\njudge = 1", after="[rollback]\nauto = 'x'\n[more]")
    assert errors_of(text).keys() == {
        "step[0].timeout",
        "step[0].when",
        "step[0].judge",
        "rollback.auto",
        "more",
    }
    with pytest.raises(Invalid, match=r"step\[0\].timeout .* \(and 4 more\)"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "field", "why"),
    [
        ("version = \n", "line 1, column 11", "is not TOML"),
        ("version = 1\nversion = 2\n", "line 2, column 12", "is not TOML"),
        ("a = '", "end of document", "is not TOML"),
        (b"a = '\xff'", "", "not UTF-8"),
        ("a = '\ud800'", "", "not UTF-8"),
        ("a = " + "[" * 20_000, "", "nested too deeply"),
        ("a = 1" + "0" * 5000, "", "number that is too long"),
        ("#" * (64 * 1024 + 1), "", "larger than 64 KiB"),
        ("# " + "é" * (32 * 1024), "", "larger than 64 KiB"),
        ("\n" + "a." * 20_000 + "b = 1", "line 2", "more than 200 dots"),
        ("", "version", "is required"),
    ],
)
def test_what_is_no_pipeline_at_all_is_said_so(text: str | bytes, field: str, why: str) -> None:
    errors = errors_of(text)
    assert why in errors[field]


def test_thousands_of_mistakes_are_cut() -> None:
    assert len(errors_of(with_run() + "".join(f"\n[x{number}]" for number in range(2000)))) == 50


def test_errors_repeat_no_control_characters() -> None:
    errors = errors_of(with_run('"\\u001b[2J" = 1'))
    assert list(errors) == ["step[0].␛[2J"]


def test_more_than_a_hundred_steps_are_refused() -> None:
    steps = "".join(f'[[step]]\nname = "s{n}"\nphase = "deploy"\nrun = ["true"]\n' for n in range(101))
    assert errors_of(HEAD + steps) == {"step": "may have at most 100 entries"}


@given(st.one_of(st.text(), st.binary(), st.text("[]{}=\"'.#\n abc1")))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    with pytest.raises(Invalid):
        parse(text)


JSON = st.recursive(
    st.one_of(
        st.booleans(), st.integers(-(2**63), 2**63), st.floats(), st.sampled_from(["x", "{", "1m", "build"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["http", "name", "run", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@given(
    st.sampled_from(["name", "phase", "run", "shell", "check", "env", "output", "on", "secrets", "timeout"]),
    JSON,
)
def test_any_value_in_a_step_is_read_or_refused(key: str, value: object) -> None:
    with suppress(Invalid):
        step = parse(f"{HEAD}\n[[step]]\n{key} = {toml(value)}\n{rest_of_a_step(key)}").steps[0]
        assert [step.run, step.shell, step.check].count(None) == 2


def rest_of_a_step(key: str) -> str:
    rest = {"name": '"other"', "phase": '"deploy"'} | (
        {} if key in {"run", "shell", "check"} else {"run": '["true"]'}
    )
    return "\n".join(f"{name} = {value}" for name, value in rest.items() if name != key)


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def test_a_snapshot_is_known_by_the_hash_of_its_bytes() -> None:
    assert sha256("é") == hashlib.sha256("é".encode()).hexdigest()
    assert sha256(FULL) != sha256(FULL + "\n")


def test_rules_say_for_which_reports_there_are_deployments() -> None:
    rule = '[[on]]\nevent = "tag"\nref = "v*"\nenvironment = "staging"\n'
    (found,) = parse(with_run(after=rule)).triggers
    assert (found.event, found.ref, found.environment) == ("tag", "v*", Environment.STAGING)
    assert parse(with_run()).triggers == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("event", "merge"),
        ("ref", ""),
        ("ref", "-x"),
        ("ref", "a b"),
        ("ref", "[ab]"),
        ("environment", "live"),
    ],
)
def test_a_rule_that_fits_nothing_is_named(key: str, value: str) -> None:
    rule = {"event": "push", "ref": "main", "environment": "staging", key: value}
    text = "[[on]]\n" + "".join(f'{name} = "{said}"\n' for name, said in rule.items())
    assert f"on[0].{key}" in errors_of(with_run(after=text))
