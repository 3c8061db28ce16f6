"""Messages to the outside as rows: none is lost with the server, and each is repeated until it arrived."""

from dg.core.outbox.following import Follower, Following
from dg.core.outbox.models import Delivery, Failed, Later, Message, Outcome, Policy, Sender, Sent
from dg.core.outbox.service import Outbox

__all__ = [
    "Delivery",
    "Failed",
    "Follower",
    "Following",
    "Later",
    "Message",
    "Outbox",
    "Outcome",
    "Policy",
    "Sender",
    "Sent",
]
