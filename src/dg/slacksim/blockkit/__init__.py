"""Block Kit as Slack checks it: what a message, a modal and a home may hold."""

from dg.slacksim.blockkit.blocks import check_blocks, text_length, with_ids
from dg.slacksim.blockkit.views import check_view

__all__ = ["check_blocks", "check_view", "text_length", "with_ids"]
