"""Sentences of the voice benchmark: lines of characters, from half a second to six seconds."""

from __future__ import annotations

from typing import Final

SHORT: Final = (
    "Stop right there!",
    "Good evening, traveller.",
    "No, not tonight.",
    "Who told you that name?",
    "Three silver coins, not one less.",
    "Mind the step on your way in.",
    "The gate closes at sundown.",
    "I have not seen him since Tuesday.",
)
LONG: Final = (
    "I have been the harbor master here for thirty years, and I have never seen such a storm.",
    "The tavern closes at two, but if you know the right knock, somebody will open the side door.",
    "Follow the lanterns along the quay until you reach the old crane, and then turn left.",
    "If you want to buy rope, my cousin has the best in town, and he owes me a favor.",
    "They say that the lighthouse keeper hears voices when the fog comes in from the north.",
    "You will need a letter from the captain before anybody lets you into the archive.",
    "We had four ships last week, and this week there is only one, with a broken mast.",
    "My grandmother baked this bread every morning, and she never told anybody what was in it.",
    "Keep your hands off those barrels, or the guards will want a word with both of us.",
    "There was a time when the market filled the whole square, from the well to the chapel.",
    "I can sell you a map of the caves, although I would not trust the part below the river.",
    "Ask the woman with the green scarf, because she knows everybody who sleeps at the inn.",
    "The bridge has been closed since spring, so you had better take the ferry across.",
    "When the bell rings twice, put out your lamp and stay away from the windows.",
    "Nobody has paid me for that horse yet, and I am not going to wait until winter.",
    "It is a long walk to the mill, and the road is not safe for people who travel alone.",
)
