"""What an environment is: where it answers, what it is configured with, and how that came to be."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dg.core.types import Environment

URLS = ("database_url", "redis_url")
"""The entries of `config` that are secrets: they have a password in them."""
API_KEYS = "api_keys"
"""The entry of `config` whose values are secrets."""
API_KEY = "api_key_"
"""How the secret behind an entry of `config.api_keys` begins: `api_keys.mail` is `api_key_mail`."""


MASK = "********"
"""What is shown in a secret's place, and keeps it when it is sent back."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


Grade = Literal["at_rest", "sealed", "runner_only"]
"""Who could read a secret: of `at_rest`, who reads what comes in to the server, and the server; of `sealed`,
the server; of `runner_only`, whoever may run the command that opens it, for dg has a ciphertext."""


class Graded(NamedTuple):
    """What is to be kept as a secret, and who could read it on its way."""

    text: str
    grade: Grade = "at_rest"

    @property
    def known_by(self) -> str:
        """What its fingerprint is of: a ciphertext is never the same as a value."""
        return f"{self.grade} {self.text}" if self.grade == "runner_only" else self.text


class SecretState(_Model):
    """What is shown of a secret. Equal values have equal fingerprints, in all environments of a home; of the
    grade `runner_only` equal ciphertexts have.
    """

    set: Literal[True] = True
    version: int
    fingerprint: str
    grade: Grade = "at_rest"
    changed_at: int
    changed_by: str


class SecretUse(_Model):
    """A secret with how it is used, as far as the caller may see services. Times in microseconds.

    `services` are those whose pipelines have steps that name it; `age` is the seconds since it was set, and
    `old` whether that is longer than `secrets.remind_after`.
    """

    name: str
    version: int
    fingerprint: str
    grade: Grade
    changed_at: int
    changed_by: str
    age: int
    old: bool
    services: tuple[str, ...] = ()
    used_at: int | None = None
    used_by: str | None = None
    """The service whose steps got it last."""


class SecretUses(_Model):
    """The secrets of one environment, by name."""

    items: tuple[SecretUse, ...]


class Box(_Model):
    """A secret that a client sealed (`dg.core.boxes`) for the key with that fingerprint, as that version."""

    key: str
    version: int
    box: str


class Ciphertext(_Model):
    """A secret that a team's own tool sealed, for the command that only the runner calls."""

    ciphertext: str = Field(repr=False)


class SetSecret(_Model):
    """What is to become of a secret: one of `value`, `sealed`, `ciphertext` and `unset`."""

    value: str | None = Field(None, repr=False)
    sealed: Box | None = None
    ciphertext: str | None = Field(None, repr=False)
    unset: bool = False
    reason: str | None = None


class SealingKey(_Model):
    """What a client seals one secret with, as the version that it will be; `key` is its fingerprint."""

    key: str
    suite: str
    public_key: str
    """Base64 of 32 bytes."""
    version: int


class Targets(_Model):
    """Where the environment runs, by the names that its people know."""

    hosts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()


class RunningCheck(_Model):
    """What says which version of a service really runs: the body of `url`, or what `command` prints.

    The version is all of it, or the value at `pointer` in JSON, or what `pattern` finds (its group, where it
    has one). `interval` and `timeout` are in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = None
    command: tuple[str, ...] | None = None
    pointer: str | None = None
    pattern: str | None = None
    interval: int = 60
    timeout: int = 10


class Content(_Model):
    """What one version of an environment holds. JSON keeps it; the values of secrets stand elsewhere."""

    domain: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    secrets: dict[str, SecretState] = Field(default_factory=dict)
    targets: Targets = Targets()
    links: dict[str, str] = Field(default_factory=dict)
    protection: dict[str, Any] = Field(default_factory=dict)
    runs: dict[str, RunningCheck] = Field(default_factory=dict)
    probes: dict[str, Any] = Field(default_factory=dict)


class Version(_Model):
    """One version of an environment: who made it, why, and which keys it changed. Times in microseconds."""

    version: int
    at: int
    by: str
    by_name: str | None = None
    reason: str | None = None
    restored: int | None = None
    """The older version whose content it took back."""
    changed: tuple[str, ...] = ()


class KeptVersion(_Model):
    """One version, and what it held."""

    version: Version
    content: Content


class Snapshot(_Model):
    """All that is kept of one environment, for a backup: `values` are its secrets by name and version."""

    environment: Environment
    versions: tuple[KeptVersion, ...] = Field(min_length=1)
    """The oldest first."""
    values: dict[str, dict[int, str]] = Field(repr=False)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for each in self.versions:
            for key, state in each.content.secrets.items():
                if state.version not in self.values.get(key, {}):
                    raise ValueError(f"the secret {key} has no version {state.version}")
        return self

    @property
    def content(self) -> Content:
        """What it held when the snapshot was taken."""
        return self.versions[-1].content

    @property
    def secrets(self) -> dict[str, Graded]:
        """The secrets that were set then; of a grade that only the runner opens, the ciphertext."""
        return {key: self.kept(key, state) for key, state in self.content.secrets.items()}

    def kept(self, key: str, state: SecretState) -> Graded:
        """What is kept of a secret in that state."""
        return Graded(self.values[key][state.version], state.grade)


class VersionPage(_Model):
    """Some versions, newest first, and where the next ones begin; None behind the oldest."""

    items: tuple[Version, ...]
    next_cursor: str | None = None


class Kind(_Model):
    """What stands behind a key, without its value: the JSON type, and the fingerprint of a secret."""

    type: Literal["string", "number", "boolean", "array", "object", "secret"]
    fingerprint: str | None = None


class Difference(_Model):
    """One key that is not the same on both sides; None is where it is missing."""

    key: str
    before: Kind | None = None
    after: Kind | None = None


class EnvironmentState(_Model):
    """An environment as it is shown. Version 0 was never configured.

    `secrets` has the state of each secret by the name that steps get it by; the ones that belong to `config`
    stand there as MASK. `changes` are what a preview would change, whose state this then is.
    """

    name: Environment
    domain: str
    config: dict[str, Any]
    secrets: dict[str, SecretState]
    targets: Targets
    links: dict[str, str]
    protection: dict[str, Any] = Field(default_factory=dict)
    """What the environment demands beside the settings, as `[environments.NAME]` writes it there."""
    runs: dict[str, RunningCheck] = Field(default_factory=dict)
    """What says which version of a service really runs, by service."""
    probes: dict[str, Any] = Field(default_factory=dict)
    """What is asked of its services, by the names of the probes."""
    version: int
    changed_at: int | None = None
    changed_by: str | None = None
    changed_by_name: str | None = None
    changes: tuple[Difference, ...] | None = None

    @classmethod
    def of(cls, name: Environment, content: Content, version: Version | None) -> EnvironmentState:
        """The environment with that content; no version is the one before the first."""
        masks: dict[str, Any] = {key: MASK for key in URLS if key in content.secrets}
        api_keys = [key.removeprefix(API_KEY) for key in content.secrets if key.startswith(API_KEY)]
        if api_keys:
            masks[API_KEYS] = dict.fromkeys(api_keys, MASK)
        return cls(
            name=name,
            config=content.settings | masks,
            **{
                field: getattr(content, field)
                for field in ("domain", "secrets", "targets", "links", "protection", "runs", "probes")
            },
            version=version.version if version else 0,
            changed_at=version.at if version else None,
            changed_by=version.by if version else None,
            changed_by_name=version.by_name if version else None,
        )


class EnvironmentList(_Model):
    """The environments that somebody may see."""

    items: tuple[EnvironmentState, ...]


class UpdateEnvironment(_Model):
    """What an environment is to be. All but secrets is as given here, and no more.

    A secret (`config.database_url`, `config.redis_url`, each of `config.api_keys`, each of `secrets`) is a
    string to set it and None to unset it. One that is left out stays, as does one given as it is shown, so
    that what was read can be sent back.
    """

    domain: str
    config: dict[str, Any] = Field(repr=False)
    secrets: dict[str, Any] = Field(default_factory=dict, repr=False)
    targets: Targets = Targets()
    links: dict[str, str] = Field(default_factory=dict)
    protection: dict[str, Any] | None = None
    """None leaves it as it is, so that nobody loosens it by not knowing of it."""
    runs: dict[str, RunningCheck] | None = None
    probes: dict[str, Any] | None = None
    """None leaves them as they are."""
    reason: str | None = None


class EnvironmentDiff(_Model):
    """How one content differs from another. A side is `staging@3`."""

    before: str
    after: str
    items: tuple[Difference, ...]
