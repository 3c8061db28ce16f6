"""Files in the two steps of today's upload: an address to send to, then the message that shows it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from dg.slacksim.bounded import Bounded
from dg.slacksim.errors import SlackError, wrong
from dg.slacksim.messages import Json, Message
from dg.slacksim.methods import content
from dg.slacksim.methods.arguments import Arguments
from dg.slacksim.workspace import Workspace

MOST_FILES = 50
MOST_BYTES = 1_000_000
"""Of one file; Slack takes a gigabyte, a simulator need not."""


@dataclass
class File:
    id: str
    name: str
    size: int
    title: str = ""
    content: bytes | None = None
    shared: bool = False


class Files:
    """The files that were announced and sent."""

    def __init__(self) -> None:
        self._by_id: Bounded[str, File] = Bounded(MOST_FILES)
        self._by_address: Bounded[str, File] = Bounded(MOST_FILES)

    def get_upload_url(self, slack: Workspace, arguments: Arguments) -> Json:
        name = arguments.text("filename")[:255]
        size = arguments.number("length", 0, MOST_BYTES)
        file = File(f"F0{slack.new_id()}", name, size)
        address = secrets.token_hex(16)
        self._by_id[file.id] = self._by_address[address] = file
        return {"ok": True, "upload_url": f"{slack.base_url}/upload/{address}", "file_id": file.id}

    def receive(self, address: str, sent: bytes) -> None:
        """Take what was sent to an address. Raises SlackError when it is not what was announced."""
        file = self._by_address.get(address)
        if file is None:
            raise SlackError("file_not_found")
        if len(sent) != file.size:
            raise SlackError("wrong_length")
        file.content = sent

    def complete_upload(self, slack: Workspace, arguments: Arguments) -> Json:
        named = arguments.structure("files", "invalid_arguments")
        if not isinstance(named, list) or not named or not all(isinstance(each, dict) for each in named):
            raise wrong("invalid_arguments", ["missing required field: files"])
        files = [self._sent(each) for each in named[:MOST_FILES]]
        if arguments.has("channel_id"):
            self._share(slack, arguments, files)
        return {"ok": True, "files": [{"id": each.id, "title": each.title or each.name} for each in files]}

    def _sent(self, named: Json) -> File:
        file = self._by_id.get(str(named.get("id")))
        if file is None or file.content is None:
            raise SlackError("file_not_found")
        file.title = str(named.get("title") or "")[:255]
        return file

    def _share(self, slack: Workspace, arguments: Arguments, files: list[File]) -> None:
        channel = content.conversation(slack, arguments, "channel_id")
        content.writable(slack, channel)
        shown = [{"title": each.title or each.name, "text": _beginning(each)} for each in files]
        message = Message(slack.next_ts(), channel.id, slack.app.user_id, "", bot_id=slack.app.bot_id)
        message.text = arguments.optional("initial_comment")
        message.attachments = shown
        message.thread_ts = arguments.optional("thread_ts") or None
        slack.keep(message)


def _beginning(file: File) -> str:
    text = (file.content or b"")[:2000].decode("utf-8", "replace")
    return f"```{text}```"
