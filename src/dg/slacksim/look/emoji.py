"""The names of emoji that bots use."""

from __future__ import annotations

import re

from dg.slacksim.look.glyphs import GLYPHS
from dg.slacksim.look.markup import Html, tag

NAMES = {
    "+1": "👍",
    "-1": "👎",
    "alarm_clock": "⏰",
    "arrow_down": "⬇️",
    "arrow_forward": "▶️",
    "arrow_right": "➡️",
    "arrow_up": "⬆️",
    "arrows_counterclockwise": "🔄",
    "ballot_box_with_check": "☑️",
    "bar_chart": "📊",
    "beetle": "🐞",
    "bell": "🔔",
    "black_circle": "⚫",
    "black_large_square": "⬛",
    "blue_circle": "🔵",
    "boom": "💥",
    "bug": "🐛",
    "bulb": "💡",
    "calendar": "📆",
    "chart_with_upwards_trend": "📈",
    "clock1": "🕐",
    "closed_lock_with_key": "🔐",
    "construction": "🚧",
    "double_vertical_bar": "⏸️",
    "eyes": "👀",
    "fast_forward": "⏩",
    "fire": "🔥",
    "gear": "⚙️",
    "green_circle": "🟢",
    "green_heart": "💚",
    "hammer_and_wrench": "🛠️",
    "heavy_check_mark": "✔️",
    "heavy_minus_sign": "➖",
    "hourglass": "⌛",
    "hourglass_flowing_sand": "⏳",
    "information_source": "ℹ️",
    "key": "🔑",
    "large_blue_circle": "🔵",
    "large_green_circle": "🟢",
    "large_orange_circle": "🟠",
    "large_red_circle": "🔴",
    "large_yellow_circle": "🟡",
    "leftwards_arrow_with_hook": "↩️",
    "link": "🔗",
    "lock": "🔒",
    "mag": "🔍",
    "memo": "📝",
    "mute": "🔇",
    "no_bell": "🔕",
    "no_entry": "⛔",
    "no_entry_sign": "🚫",
    "ok_hand": "👌",
    "orange_circle": "🟠",
    "package": "📦",
    "pause_button": "⏸️",
    "point_right": "👉",
    "question": "❓",
    "radio_button": "🔘",
    "raised_hand": "✋",
    "recycle": "♻️",
    "red_circle": "🔴",
    "rewind": "⏪",
    "robot_face": "🤖",
    "rocket": "🚀",
    "rotating_light": "🚨",
    "shield": "🛡️",
    "ship": "🚢",
    "skull": "💀",
    "snowflake": "❄️",
    "sos": "🆘",
    "sparkles": "✨",
    "stopwatch": "⏱️",
    "tada": "🎉",
    "thumbsdown": "👎",
    "thumbsup": "👍",
    "traffic_light": "🚦",
    "unlock": "🔓",
    "warning": "⚠️",
    "wave": "👋",
    "white_check_mark": "✅",
    "white_circle": "⚪",
    "white_large_square": "⬜",
    "white_small_square": "▫️",
    "wrench": "🔧",
    "x": "❌",
    "yellow_circle": "🟡",
    "zap": "⚡",
}
NAME = re.compile(r":([a-z0-9_+'-]{1,60}):")


def characters(text: str) -> str:
    """The text with known emoji as characters, for where nothing else can stand; other names stay."""
    return NAME.sub(lambda match: NAMES.get(match[1], match[0]), text)


def picture(name: str) -> Html | None:
    """An emoji by its name, where it is known."""
    if name in GLYPHS:
        return tag(
            "svg", Html(GLYPHS[name]), viewBox="0 0 20 20", role="img", aria_label=f":{name}:", class_="emoji"
        )
    return tag("span", NAMES[name], title=f":{name}:", class_="emoji") if name in NAMES else None
