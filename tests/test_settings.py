"""Settings: who wins over whom, and how a mistake is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dg.homes import default_home
from dg.settings import Loaded, SettingsError, load
from dg.settings.leaves import leaves
from dg.settings.units import (
    Rate,
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)

SOURCE = "[git.sources.'git@h.example:a/']\n"


def written(home: Path, text: str) -> Path:
    home.joinpath("server.toml").write_text(text)
    return home


def problems(home: Path, overrides: Mapping[str, object], environ: Mapping[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(home, overrides, environ)
    return caught.value.problems


def with_file(home: Path, text: str) -> Loaded:
    return load(written(home, text), {}, {})


def test_defaults_need_nothing(tmp_path: Path) -> None:
    loaded = load(tmp_path, {}, {})
    assert loaded.settings.server.port == 8470
    assert loaded.settings.home == tmp_path
    assert loaded.origins["home"] == "flag"
    assert set(loaded.origins.values()) == {"flag", "default"}


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    written(tmp_path, "[server]\nport = 1\nhost = '127.0.0.2'\nheader_timeout = '7s'\n")
    environ = {"DG_SERVER__PORT": "2", "DG_SERVER__HOST": "127.0.0.3"}
    loaded = load(tmp_path, {"server.port": 3, "server.host": None}, environ)
    assert (loaded.settings.server.port, loaded.origins["server.port"]) == (3, "flag")
    assert loaded.settings.server.host == "127.0.0.3"
    assert loaded.origins["server.host"] == "environment DG_SERVER__HOST"
    assert loaded.settings.server.header_timeout == 7
    assert loaded.origins["server.header_timeout"] == "server.toml"
    assert loaded.origins["server.body_timeout"] == "default"


def test_every_setting_can_be_set_in_the_environment_to_its_written_default(tmp_path: Path) -> None:
    """What the reference page prints can be pasted."""
    default = load(tmp_path, {}, {}).settings
    shown = {leaf.variable: leaf.written(leaf.value(default)) for leaf in leaves()}
    environ = {name: value for name, value in shown.items() if value != "-"}
    loaded = load(tmp_path, {}, environ)
    assert loaded.settings == default
    assert sum(origin.startswith("environment") for origin in loaded.origins.values()) == len(environ)


def test_an_unknown_key_in_the_file_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    written(tmp_path, "[server]\nprot = 1\n")
    assert problems(tmp_path, {}, {}) == [
        "server.prot (server.toml) is not a setting; did you mean server.port?"
    ]


def test_an_unknown_variable_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    assert problems(tmp_path, {}, {"DG_SERVER__PROT": "1"}) == [
        "server.prot (environment DG_SERVER__PROT) is not a setting; did you mean DG_SERVER__PORT?"
    ]


def test_a_key_like_no_other_points_to_the_reference(tmp_path: Path) -> None:
    (problem,) = problems(written(tmp_path, "[zzz]\n"), {}, {})
    assert problem == "zzz (server.toml) is not a setting; see `dg config reference`"


def test_an_empty_table_is_no_mistake(tmp_path: Path) -> None:
    assert with_file(tmp_path, "[server]\n[environments.production]\n").settings.server.port == 8470


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("server = 5", "server (server.toml) is a table of settings"),
        ("[server.port]\nx = 1", "server.port.x (server.toml) is not a setting; did you mean server.port"),
        ("[server]\nport = 99999", "server.port (server.toml): input should be less than or equal to 65535"),
        ("[server]\npublic_url = 'ftp://x'", "server.public_url (server.toml): string should match"),
        ("[git]\ntimeout = '5 minutes'", "git.timeout (server.toml): a duration is written as"),
        ("[git]\ntimeout = 0", "git.timeout (server.toml): input should be greater than 0"),
        ("[git]\ntimeout = nan", "git.timeout (server.toml): input should be"),
        ("[logs]\nline_bytes = '1 MB'", "logs.line_bytes (server.toml): a size is written as"),
        ("[logging]\nlevel = 'loud'", "logging.level (server.toml): input should be 'debug'"),
        ("[runner]\nenv_pass = ['A', 1]", "runner.env_pass (server.toml): input should be a valid string"),
        ("[environments.production]\nprotected = 'maybe'", "environments.production.protected (server.toml)"),
        ("[git]\nsources = 'x'", "git.sources (server.toml): is written as tables in server.toml"),
        (SOURCE + "ssh_kee = 'x'", 'git.sources "git@h.example:a/" "ssh_kee" (server.toml): extra inputs'),
        (SOURCE + "ssh_key = 'x'", 'git.sources (server.toml): "git@h.example:a/" needs known_hosts'),
        (SOURCE + "known_hosts = 'x'", 'git.sources (server.toml): "git@h.example:a/" needs exactly one of'),
        (SOURCE + "token_file = 'x'", 'git.sources (server.toml): "git@h.example:a/" token_file belongs'),
        (
            "[git.sources.'https://h/']\nagent = true",
            'git.sources (server.toml): "https://h/" ssh_key, agent',
        ),
        ("[git.sources.'https://h/']\n", 'git.sources (server.toml): "https://h/" needs exactly one of'),
        ("[git.sources.'http://h/']\ntoken_env = 'X'", 'git.sources (server.toml): "http://h/" is no begin'),
    ],
)
def test_a_bad_value_is_refused_with_its_path_and_where_it_came_from(
    tmp_path: Path, text: str, start: str
) -> None:
    (problem,) = problems(written(tmp_path, text), {}, {})
    assert problem.startswith(start)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    written(tmp_path, "[server]\nprot = 1\nport = 'x'\n")
    assert len(problems(tmp_path, {"api.ws_queue": 0}, {"DG_GIT__TIMEOUT": "soon"})) == 4


def test_a_file_that_is_not_toml_is_refused_with_line_and_column(tmp_path: Path) -> None:
    (problem,) = problems(written(tmp_path, "[server]\nport =\n"), {}, {})
    assert "server.toml cannot be read" in problem
    assert "line 2" in problem


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("server.toml").write_bytes(b"\xff\xfe")
    assert "cannot be read" in problems(tmp_path, {}, {})[0]


def test_variables_of_steps_and_of_the_client_are_not_settings(tmp_path: Path) -> None:
    environ = {"DG_ENV_A__B": "x", "DG_OUTPUT_A__B": "x", "DG_TOKEN": "t", "DG_URL": "u", "DG_RUN": "r"}
    assert set(load(tmp_path, {}, environ).origins.values()) == {"flag", "default"}


def test_an_empty_variable_unsets(tmp_path: Path) -> None:
    written(tmp_path, "[server]\npublic_url = 'https://dg.example'\n")
    assert load(tmp_path, {}, {"DG_SERVER__PUBLIC_URL": ""}).settings.server.public_url is None


def test_a_secret_is_in_no_message_and_no_repr(tmp_path: Path) -> None:
    url = "postgresql://dg:hunter2hunter2@db/dg"
    loaded = load(tmp_path, {}, {"DG_DATABASE__URL": url})
    assert "hunter2" not in repr(loaded)
    secret = loaded.settings.database.url
    assert secret is not None
    assert secret.get_secret_value() == url
    written(tmp_path, f"[database]\nurl = ['{url}']\n")
    assert "hunter2" not in str(problems(tmp_path, {}, {}))


def test_sources_of_repositories_are_tables_named_by_addresses(tmp_path: Path) -> None:
    token = "[git.sources.'https://h/']\ntoken_command = ['pass', 'git']\n"
    loaded = with_file(tmp_path, f"{SOURCE}ssh_key = '~/k'\nknown_hosts = 'hosts'\n{token}")
    sources = loaded.settings.git.sources
    assert list(sources) == ["git@h.example:a/", "https://h/"]
    assert sources["git@h.example:a/"].ssh_key == Path("~/k").expanduser()
    assert sources["https://h/"].username == "x-access-token"
    assert loaded.origins["git.sources"] == "server.toml"
    named = problems(tmp_path, {}, {"DG_GIT__SOURCES": "x"})
    assert named == ["git.sources (environment DG_GIT__SOURCES): is written as tables in server.toml"]


def test_the_tree_is_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(tmp_path, {}, {}).settings.server.port = 1  # type: ignore[misc]


def test_production_is_protected_until_said_otherwise(tmp_path: Path) -> None:
    protected = {
        name: load(tmp_path, {}, {}).settings.environments.named(name).protected
        for name in ("development", "staging", "production")
    }
    assert protected == {"development": False, "staging": False, "production": True}
    with pytest.raises(KeyError):
        load(tmp_path, {}, {}).settings.environments.named("model_config")


def test_relative_secrets_file_lies_in_the_home(tmp_path: Path) -> None:
    assert load(tmp_path, {}, {}).settings.secrets_file == tmp_path / "secrets.toml"
    assert with_file(tmp_path, "[secrets]\nfile = 'a.toml'").settings.secrets_file == tmp_path / "a.toml"
    assert with_file(tmp_path, "[secrets]\nfile = '/x/a.toml'").settings.secrets_file == Path("/x/a.toml")


@pytest.mark.parametrize(
    ("environ", "home", "origin"),
    [
        ({"DG_HOME": "/x/dg", "XDG_DATA_HOME": "/y", "HOME": "/z"}, "/x/dg", "environment DG_HOME"),
        ({"DG_HOME": "", "XDG_DATA_HOME": "/y", "HOME": "/z"}, "/y/dg", "default"),
        ({"XDG_DATA_HOME": "relative", "HOME": "/z"}, "/z/.local/share/dg", "default"),
        ({"HOME": "/z"}, "/z/.local/share/dg", "default"),
    ],
)
def test_home_is_found(environ: Mapping[str, str], home: str, origin: str) -> None:
    assert default_home(environ) == (Path(home), origin)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15m", 900.0), ("1h30m", 5400.0), ("500ms", 0.5), ("90", "90"), ("1.5s", 1.5), ("2d 1h", 176400.0)],
)
def test_durations_are_read(text: str, seconds: object) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5 minutes", "m", "-5s", "5x", "1h-5m", "٣s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration is written as"):
        parse_duration(text)


@given(st.integers(1, 10**12))
def test_a_duration_reads_back_as_it_was_written(millis: int) -> None:
    assert parse_duration(format_duration(millis / 1000)) == pytest.approx(millis / 1000)


@given(st.integers(1, 1 << 40))
def test_a_size_reads_back_as_it_was_written(count: int) -> None:
    assert parse_size(format_size(count)) == count


def test_a_certificate_comes_with_its_key_and_with_the_name_it_is_made_for(tmp_path: Path) -> None:
    half = {"server.tls_certificate": "/x/tls.crt"}
    assert "server.tls_certificate and server.tls_key go together" in problems(tmp_path, half, {})[0]
    whole = {**half, "server.tls_key": "/x/tls.key"}
    assert "server.tls_certificate needs server.public_url" in problems(tmp_path, whole, {})[0]
    named = {**whole, "server.public_url": "https://dg.example"}
    assert load(tmp_path, named, {}).settings.server.tls_key == Path("/x/tls.key")


def test_a_table_is_one_setting_in_the_file_and_in_the_environment(tmp_path: Path) -> None:
    written(
        tmp_path,
        """
        [environments.production.approvals]
        count = 2
        [[environments.production.windows]]
        deny = "0 17 * * FRI"
        """,
    )
    variable = "DG_ENVIRONMENTS__STAGING__APPROVALS"
    loaded = load(tmp_path, {}, {variable: '{ count = 1, from = ["user:olga"] }'})
    environments = loaded.settings.environments
    assert environments.production.approvals == {"count": 2}
    assert environments.production.windows == ({"deny": "0 17 * * FRI"},)
    assert environments.staging.approvals == {"count": 1, "from": ["user:olga"]}
    assert loaded.origins["environments.production.approvals"] == "server.toml"
    assert loaded.origins["environments.staging.approvals"] == f"environment {variable}"
    shown = {leaf.path: leaf.written(leaf.value(loaded.settings)) for leaf in leaves()}
    assert shown["environments.staging.approvals"] == '{ count = 1, from = ["user:olga"] }'
    assert shown["environments.production.windows"] == '[{ deny = "0 17 * * FRI" }]'


def test_a_table_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, {}, {"DG_ENVIRONMENTS__STAGING__APPROVALS": "two"})
    assert problem.startswith(
        "environments.staging.approvals (environment DG_ENVIRONMENTS__STAGING__APPROVALS): "
        "a list or a table is written in one line of TOML"
    )


@pytest.mark.parametrize("ports", ['["443", "8000-8999"]', '["1-65535"]', "[]"])
def test_ports_and_spans_of_ports_are_read(tmp_path: Path, ports: str) -> None:
    loaded = with_file(tmp_path, f"[outbound]\nports = {ports}\n")
    assert all(isinstance(word, str) for word in loaded.settings.outbound.ports)


@pytest.mark.parametrize("port", ["0", "70000", "90-80", "https", "80-", "1-70000"])
def test_what_is_no_port_is_refused(tmp_path: Path, port: str) -> None:
    (problem,) = problems(written(tmp_path, f'[outbound]\nports = ["{port}"]\n'), {}, {})
    assert "outbound.ports" in problem
    assert "is no port" in problem


@pytest.mark.parametrize(
    ("text", "rate"),
    [("600/1m", Rate(600, 60)), ("1 / 1h", Rate(1, 3600)), ("1000000000/1s", Rate(10**9, 1)), ("off", None)],
)
def test_a_rate_is_read_as_it_is_written(tmp_path: Path, text: str, rate: Rate | None) -> None:
    found = load(tmp_path, {}, {"DG_LIMITS__READ": text}).settings.limits.read
    assert found == rate
    assert parse_rate(format_rate(found)) == rate


@pytest.mark.parametrize(
    "text", ["600", "0/1m", "6/0s", "6/1500ms", "6/2d", "6/m", "-1/1m", "1/1m/1m", "1e9/1m"]
)
def test_what_is_no_rate_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"limits\.read"):
        load(tmp_path, {}, {"DG_LIMITS__READ": text})


@pytest.mark.parametrize(
    ("name", "lines", "said"),
    [
        ("git@h.example:a/", 'report = "github"\nagent = true\nknown_hosts = "k"', "belongs to an https"),
        ("https://h.example/a", 'report_api = "https://h.example/api"\ntoken_env = "T"', "belongs to report"),
        ("https://h.example/a", 'report = "github"', "needs exactly one of"),
        ("https://h.example/a", 'report = "gitea"\ntoken_env = "T"', "report"),
        (
            "https://h.example/a",
            'report = "github"\nreport_api = "http://h.example/api"\ntoken_env = "T"',
            "report_api",
        ),
    ],
)
def test_a_report_needs_a_token_and_a_safe_way(tmp_path: Path, name: str, lines: str, said: str) -> None:
    found = problems(written(tmp_path, f'[git.sources."{name}"]\n{lines}\n'), {}, {})
    assert any(said in problem for problem in found)
