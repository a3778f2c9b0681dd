"""How players put things: the wordings that the starter recogniser expects to hear, before any name is filled in.

This file is data. What is not in here (and not in the world's lore) is not understood by the starter recogniser, so
it is long on purpose: a wording costs a few trigrams. Notation, one wording to a line:

    (a|b|c)    one of these; alternatives may be empty and may nest
    [word]     present or not
    {place}    a place of the world, with "the" where it takes one; likewise {person} and {topic} (anything with a name)
    {item}     a thing, without article: the wording brings its own; {items} is its plural

Write words as they are said (`what is`, not `What's?`): contractions, polite openings and endings are added by
`ngram_counts.py`. A line weighs about as the square root of the number of ways it can be said, times its section's weight.
"""

from __future__ import annotations

from typing import Final

WORDINGS: Final[dict[str, tuple[float, str]]] = {
    "hours": (
        1.3,
        """
        (when|what time|at what time|at what hour|how early|how late|how soon) (does|will|do|did) {place} (open|close|shut)
        (when|what time) (does|will) {place} (open|close|shut) (today|tonight|tomorrow|in the morning|at night|its doors|up|for the night)
        (when|what time) (is|was) {place} (open|closed|shut|busy|empty|locked)
        (until when|until what time|until what hour|till when|how late|how long) (is {place} open|does {place} stay open|will {place} be open|are you open|do you stay open)
        (is|was) {place} (open|closed|shut|still open|already closed|open yet|open now|open today|open tonight|closed today|open in the morning|open at night|always open)
        (is|was) {place} (open|closed) (all day|all night|every day|on holidays|after dark|at noon|at midnight|in the evening)
        (will|does) {place} (open|close) (soon|early|late|today|tonight|tomorrow|at noon|at dawn|at dusk|at midnight)
        (what are|tell me) the (opening|closing|working|business) (hours|times|time) (of|for|at) {place}
        what are the hours (of|for|at) {place}
        what are {place} hours
        what hours does {place} keep
        (did you say|do you mean|so|are you sure|is it true) [that] {place} is (open|closed|shut)
        (did you say|they say|i heard) {place} (opens|closes|shuts) at (dawn|dusk|noon|midnight|sunset|sunrise|night)
        (do you know|can you tell me|could you tell me|tell me|i want to know|i would like to know|i wonder|i need to know|will you tell me|please tell me) (when|what time) {place} (opens|closes|shuts|is open|is closed|will open|will close)
        (when|what time) (do you|will you) (open|close|shut|close up|open up|serve food|serve drinks|stop serving)
        (are you|is it|is this place) (open|closed|still open) [now|today|tonight|tomorrow]
        (how long|how much longer) (are you|will you be|is it) open
        (what|which) (day|days) is {place} (open|closed)
        why is {place} (closed|shut|locked|open so late)
        (when|what time) (can i|may i|should i|could i) (come to|go to|visit|enter) {place}
        can i (still|already) (visit|enter|go into|get into) {place}
        """,
    ),
    "where": (
        1.6,
        """
        where is {place}
        where is {person}
        where is {topic}
        where is (the|my|your|a|that) {item}
        where are the {items}
        where (can|could|might|do|would|should|will) i (find|look for|see|get|meet) {place}
        where (can|could|might|do|would|should|will) i (find|look for|see|meet|speak to|speak with|talk to) {person}
        where (can|could|might|do|would|should|will) i (find|look for|see|get|buy|pick up) (a|an|the|some|that) {item}
        where (can|could|do) i (buy|get|find) {items}
        where (does|did) {person} (live|work|sleep|stay|go|hide|eat|drink|come from|keep it|keep that)
        where (has|did) {person} (gone|go|been|go to)
        where (would|might|will) {person} be [now|today|tonight|at this hour]
        where is {person} (now|today|tonight|hiding|staying|living|working|going|from|right now|these days)
        (do you know|can you tell me|could you tell me|tell me|i want to know|please tell me|would you tell me|does anyone know|i wonder|i forgot) where {place} is
        (do you know|can you tell me|could you tell me|tell me|i want to know|please tell me|would you tell me|does anyone know|i wonder) where {person} (is|went|lives|works|has gone|might be)
        (do you know|can you tell me|could you tell me|tell me|i want to know|please tell me) where (the|my|a) {item} is
        (do you know|can you tell me|could you tell me|tell me) where i (can|could|might) (find|get|buy|see|meet) {topic}
        (do you know|can you tell me|could you tell me|tell me) where i (can|could|might) (find|get|buy) (a|the|some) {item}
        (i am|we are) (looking|searching) for {topic}
        (i am|we are) (looking|searching) for (a|the|some|my|that) {item}
        (i need|i want|i have|we need|i would like|i am trying) to (find|see|meet|speak to|speak with|talk to|look for) {person}
        (i need|i want|i have|we need|i would like|i am trying) to (find|see|reach|get to|go to|visit|look for) {place}
        (what|which) place is this
        (where am i|where are we|where do i go|where should i go|where do i go now|where can i sleep|where can i eat|where can i rest|where can i get a drink|where can i buy food)
        (is|are) there (a|an|any|some) {item} (here|near here|around here|nearby|in town|left)
        (how far|how far away) is {place} [from here]
        (how far is it|is it far) to {place}
        is {place} (far|near|close|nearby|close by|far away|far from here|near here|close to here|around here)
        is {person} (here|around|in|at home|home|in town|nearby|alive|dead|well|here tonight|here today|around here)
        what is (near|next to|behind|beside|inside|in|under|below|above|beyond|across from|close to) {place}
        (who|what) is (at|in|inside|behind) {place}
        (which|what) (street|road|part of town|side of town|district|quarter) is {place} (on|in)
        (where|what) is the (nearest|closest|best) (tavern|inn|shop|market|smith|healer|temple|gate|road|well|stable|place to sleep|place to eat)
        """,
    ),
    "way": (
        1.4,
        """
        (how do i|how can i|how could i|how would i|how do we|how does one|how might i) (get to|reach|find|go to|come to|get into|enter) {place}
        how do i (get|walk|travel) (from here|from there) to {place}
        how do i get (back|home) to {place}
        (what is|which is|where is) the (way|best way|fastest way|quickest way|shortest way|safest way|road|path|shortest road) to {place}
        (which|what) way (is|to|is it to|do i go to|should i go to|leads to|goes to) {place}
        (can you|could you|would you|will you|please|) (show|tell|teach) (me|us) the (way|road|path|best way|quickest way) to {place}
        (can you|could you|would you|will you|please|) (show|tell) me (how to get to|how to reach|how to find|how i get to) {place}
        (can you|could you|would you|will you|please|) (show|tell) me where {place} is
        (can you|could you|would you|will you|please|) (take|lead|guide|bring|walk|accompany|escort) (me|us) to {place}
        (can you|could you|would you|will you|please|) (direct|point|send) me (to|toward|towards|in the direction of) {place}
        (can you|could you|would you|will you|please|) give me directions to {place}
        (can you|could you|would you|will you|please|) show me {place}
        (can you|could you|would you|will you|please|) (mark|put|show|set|pin|draw) {place} on (my|the|a|your) map
        (can you|could you|would you|will you|please|) (mark|show|point out) (it|that|the way|the place|this place|the road) on (my|the) map
        (can you|could you|would you|will you|please|) (set|put|place|give me|make|add) a (waypoint|marker|mark|pin) (to|at|on|for|near) {place}
        (can you|could you|would you|will you|please|) (mark|set) (it|the way|the waypoint|a waypoint) for me
        (i need|i want) (directions|a guide|the way|a map|to know the way) to {place}
        (i am lost|i lost my way|i do not know the way|i cannot find {place}|i cannot find my way to {place})
        (i want to|i would like to|let us|we should|i have to|i must|i need to|we must|i am going to|i will) (go to|visit|see|walk to|travel to|return to|get to) {place}
        (is this|is that) the (way|road|path|right way|right road) to {place}
        (does|will) (this|that) (road|path|street|way) (lead|go|take me) to {place}
        (is there|do you know) (a|another) (way|path|road|secret way|shortcut|back door) (to|into|around|through) {place}
        (turn left|turn right|straight ahead|left or right|go north|go south|go east|go west|which way|which way do i go|which way now)
        """,
    ),
    "price": (
        1.3,
        """
        how much (is|for|does|would|do you want for|do you ask for|are you asking for|do you charge for|will you take for) (the|a|an|that|this|one|your|some) {item} [cost]
        how much (is|for|does|do you want for) {topic}
        how much (are|do) the {items} [cost]
        how much do {items} cost
        how much (is it|does it cost|does that cost|is that|do you want|is that one|for that|for this|for it|for both|for all of it)
        how much (gold|silver|coin|money) (for|is|do you want for) (the|a|that|some) {item}
        how (many|much) (coins|gold|silver|coppers|crowns) (for|does|is|is it for) (the|a|that|this) {item} [cost]
        what (is|was) the (price|cost|worth|value) (of|for) (the|a|an|that|this|one|some) {item}
        what (does|would|will|might|did) (the|a|an|that|this|one|some) {item} cost [me]
        what (do|does) {items} cost
        what (do you|would you|will you) (want|ask|charge|take|pay|give me) for (the|a|an|that|this|my|some) {item}
        what (do|would) you (charge|ask) for (a room|a bed|a drink|a meal|some food|lodging|the night|a night|supper|dinner|breakfast)
        how much (is|for|does) (a room|a bed|a drink|a meal|the room|one night|dinner|supper|breakfast|food|lodging) [cost]
        (tell me|can you tell me|could you tell me|do you know|i want to know) (the price of|what you want for|how much you want for|how much is) (the|a|an|that|your) {item}
        (is|was) the {item} (expensive|cheap|free|worth it|for sale|worth anything|still for sale|magic|dangerous|real|valuable|yours)
        (that is|this is|it is) (too much|too expensive|too dear|a fair price|cheap|very expensive|robbery|a good price|a lot of money)
        (can you|could you|will you|would you) (lower the price|go lower|make it cheaper|give me a better price|give me a discount|do better|take less)
        (i have|i only have|i have got|here is|here are|i will give you|i will pay|i can pay) (no|some|little|enough|much|your) (money|coin|coins|gold|silver)
        (i will give you|i offer|i can offer|would you take|will you take|i have|take|here are) (one|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|fifty|a hundred) (coins|gold|silver|gold pieces|silver pieces|coppers|crowns) [for it|for that|for the {item}]
        (is that|is this) your (best|final|last) price
        do you (take|accept) (gold|silver|coin|credit|trades|other things)
        """,
    ),
    "trade": (
        1.5,
        """
        (can|could|may|might|must) i (buy|have|get|see|take|borrow|use|hold|keep|try|look at|trade for) (the|a|an|some|that|this|your|one|another|more) {item}
        (i want|i would like|i need|i wish|i am here|i came|i hope|i have) to (buy|get|have|see|take|borrow|sell|trade|return|find) (the|a|an|some|that|this|your|my|one) {item}
        (i want|i would like|i need|i will take|i will have|i will buy|i am looking for|get me|bring me|sell me|hand me|pass me|show me|give me|lend me|fetch me|pour me) (the|a|an|some|that|this|your|my|one|another|more|one more) {item}
        (can you|could you|would you|will you|please|) (give|sell|hand|lend|show|bring|pass|get|fetch|pour|make|find) (me|us) (the|a|an|some|that|this|your|my|one|another|more) {item}
        (can you|could you|would you|will you|please|) (give|hand|take|bring|deliver|return|show|sell|carry) (the|this|that|a|my) {item} (to|back to) {person}
        (give|hand) (it|that|this|them) (to me|back|back to me|to {person}|to him|to her|here)
        (do you|does {person}|did you) (have|sell|own|want|need|still have|keep|stock|buy|trade|make|mend|repair) (the|a|an|any|some|that|your|my) {item}
        (do you|does {person}|does anyone|does anybody) (have|sell|buy|trade|make|keep|stock) {items}
        (do you have|are there|have you got|have you) any (more|other|new|good|fresh|spare) {items}
        (have you|has {person}) got (the|a|an|any|some) {item}
        (who|which shop) (sells|has|makes|buys|keeps|repairs|mends|trades|owns|took|stole|found|lost) (the|a|an|some|that|this|my) {item}
        who (sells|makes|buys|mends|repairs) {items}
        (what|anything) (do you|does {person}) (sell|have|have for sale|have to sell|offer|trade|make|buy|have in stock)
        what (goods|wares|food|drinks|weapons|things) do you (have|sell|offer|serve)
        (what is|is there anything|do you have anything) (for sale|to sell|to eat|to drink|on the menu|on offer|in stock|good today|special|new)
        (show|let) me (see|) (your|the) (wares|goods|shop|stock|prices|menu|things|weapons|potions)
        (can you|could you|please|) (open|show me) (your|the) (shop|store|wares|goods|trade|inventory|stall)
        (i want|i would like|i am here) to (trade|buy something|sell something|see your wares|shop|do some business|make a deal|barter|browse)
        (let us|shall we|can we|could we|want to) (trade|make a deal|do business|barter|haggle)
        (are you|is {person}) (a merchant|a trader|selling anything|buying|a smith|a healer|a shopkeeper)
        (would you|do you want to|will you) (buy|like|take) (my|this|the|a) {item} [from me]
        (i found|i have|i brought|i lost|i need|i took|here is|this is) (the|a|an|your|my|some) {item} [for you|for {person}]
        (where did|how did) you (get|find|come by) (the|that|this|your) {item}
        (what is|what are) (in|inside) (the|that|your) {item}
        (a|one|two|three|four|five|six|a dozen|ten) {items} (please|for me|for us|for my friend)
        (a|an|some|one|the|another|more) {item} (please|for me|for my friend|then|would be nice|and nothing else)
        (something to drink|something to eat|a drink please|a drink|a room for the night|a bed for the night|i need a room|i need a bed|do you have a room|do you have a room for the night|i am hungry|i am thirsty|i am tired|i would like a drink|i would like something to eat|give me a drink)
        (i do not want|i do not need|i cannot afford|keep|forget|no thanks i do not want) (the|a|an|any|that|your) {item}
        (sold|deal|no deal|it is a deal|i will take it|i will take that|i will take one|i will think about it|that is all|nothing else|that will be all|keep the change)
        """,
    ),
    "who": (
        1.4,
        """
        (who is|who was|who are) {person}
        (what is|who is) {person} (like|doing|hiding|up to|to you|really|afraid of|waiting for|working for|looking for|famous for)
        (do you|did you|does anyone|do we) (know|trust|like|remember|hate|love|work for|work with|fear|recognize|believe|owe) {person}
        (have you|has anyone|has anybody|did you|did anyone|have we) (seen|met|heard of|heard from|spoken to|spoken with|talked to|see|meet|talk to|speak to|hear from) {person} [today|tonight|lately|recently|around|here|before|this morning]
        (when|where) did you (last see|last meet|meet|see|first meet|last speak to) {person}
        (who|which person) (owns|runs|built|keeps|guards|rules|manages|leads|lives in|works at|works in|is in charge of|takes care of|looks after|controls|serves at|cooks at|watches|holds the key to|sleeps in) {place}
        who (is|was) the (owner|keeper|lord|lady|master|captain|king|queen|mayor|boss|leader|guard|cook|priest) (of|at|in) {place}
        who (owns|has|made|took|stole|wants|lost|found|carries|needs|keeps|left|forged|bought) (the|this|that|a|my) {item}
        who (did|does|is) {person} (work for|trust|love|hate|marry|married to|live with|talk to|like|fear|looking for)
        (is|was) {person} (your|a|my|his|her|the) (friend|enemy|brother|sister|mother|father|wife|husband|boss|king|thief|good man|good woman|liar|traitor|spy|guard|sailor)
        (is|was|are) {person} (married|rich|poor|honest|dangerous|kind|evil|old|young|strong|to be trusted|telling the truth|a friend of yours|missing|sick|guilty|angry|lying|safe|drunk)
        (what do you|what does everyone|what do people|what do they) (think|say|know|hear) (of|about) {person}
        what does {person} (do|want|know|sell|look like|need|think|say|eat|drink|fear|hide|keep|own|do here|do for a living|want from me|think of me|think of you)
        what did {person} (do|say|want|steal|see|tell you|give you|ask|find|lose|mean|hide|leave|take|say about me)
        (what|which) (job|work|trade) does {person} (do|have)
        what is {person} (name|job|secret|real name|problem|story|favorite drink|favorite food|plan)
        (why|how) (does|did|is|was|would) {person} (hate you|like you|leave|die|do it|do that|go there|want it|hiding|angry|sad|so sad|here|know that|kill him|help us|lie|come here|get hurt|lose it|lose it all)
        (how old|how tall|how rich|how strong) is {person}
        (how well|how long have you|since when do you|how do you) (know|known) {person}
        (can i|can we|should i|may i|could i) (trust|believe|meet|speak to|speak with|talk to|see|ask|help|visit) {person}
        (tell|ask|warn|greet|help|thank|find|follow|call|bring|forget) {person} [for me|about it|about that|that i am here|please|to come]
        (does|did|will|would|can) {person} (know|sell|like|help|live|own|work|come here|like you|know you|know about|remember|understand|want|come back|lie|help me|talk to me|trust me|speak the truth)
        (does|did) {person} (own|run|work at|live in|live near|work in|visit|like|guard|leave|go to|come to|build) {place}
        (did|does) {person} (have|take|steal|want|sell|own|buy|lose|find|need|hide) (the|a|an|my|your|that) {item}
        (where is|who is|how is|what about) (your|his|her|their) (wife|husband|son|daughter|mother|father|brother|sister|family|friend|boss|master|father now)
        who (lives here|works here|runs this place|owns this place|is in charge|is in charge here|is that|is that man|is that woman|is there|is it|was it|was that|did it|did that|did this|told you|told you that|sent you|are they|are these people|are those men|can help me|knows|knows about it|else knows)
        """,
    ),
    "what": (
        1.5,
        """
        what is {topic}
        what is {place} [like]
        what is (the|a|an|that|this) {item} [for|worth|made of|used for]
        what (do|can|did|would|could) you (know|tell me|say|hear|remember|think) (about|of) {topic}
        what (do|can) you (know|tell me) about (the|that|this|a|my|your) {item}
        what (do people|do they|does everyone|have you) (say|think|know|heard|hear) about {topic}
        (tell|teach) me [more|something|a little|everything|all|what you know] about {topic}
        tell me [more|something|a little|everything|all|what you know] about (the|that|this|your) {item}
        (can you|could you|would you|will you|please|) tell me [more|something|a little|everything] about {topic}
        (do you know|have you heard|did you hear|do you remember|does anyone know|did you know) (anything|something|more|of|about|) [about] {topic}
        (i want|i would like|i need) to (know|hear|learn|talk|speak|ask|ask you) (about|more about|something about|everything about|all about) {topic}
        (what|anything) (happened|happens|is happening|is going on|goes on|was it like|went wrong|could happen) (at|in|to|with|near|inside|on|by|around) {topic}
        (what happened|what is happening|what is going on|what is wrong|what was that|what is new|what is the news|what is the matter|what is it|what is that|what is this|what is that noise|what is that smell) [here|in town|around here|tonight|today|last night|there]
        (when|why|how) did (it|that|this) happen
        what (is|was|are) (special|strange|wrong|new|important|interesting|dangerous|so special) (about|with|at|in) {topic}
        what is the (story|history|legend|meaning|secret|truth|trouble|rumor|matter|name|problem|deal|purpose) (of|about|behind|with) {topic}
        what (can i|should i|do i|can we|could one|must i|do people) (do|see|buy|find|eat|drink|get|expect) (at|in|from|there at) {place}
        what (do you|does {person}) (keep|have|store|hide|do|sell) (at|in|under|inside|behind) {place}
        (why|how) (is|was|are) {topic} (important|dangerous|famous|called that|special|so famous|so important|so expensive|cursed|haunted|forbidden|gone|broken|destroyed|built|found|lost|there|so quiet)
        why (do you|does {person}|do people|does everyone|did {person}|did you) (need|want|hate|fear|avoid|like|love|leave|go to|talk about|know about|care about) {topic}
        how (old|big|large|dangerous|deep|tall|strong|safe|heavy|high|far|new|long) is {topic}
        how (does|do|did) {topic} work
        (when|why|how|by whom) was {topic} (built|founded|made|destroyed|stolen|found|lost|burned|closed|opened|abandoned|forged|taken|killed)
        (when|how long ago) did {topic} (begin|start|end|open|close|burn|burn down|fall|arrive|leave|die|disappear|sink|happen|come here)
        (when is|when does|where is|what day is|how long is) {topic} (begin|start|end|held|over|celebrated|arrive|leave|happen|come|this year)
        (which|what) (color|size|kind|sort|type) (is|of) (the|a|your) {item} [is that|do you have]
        (what|which) {items} (do you have|do you sell|are there|are the best|are good)
        (is|are) there (anything|something|someone|anyone|treasure|danger|a secret|a ghost|a guard|a way|food|water|gold|magic|a door) (in|at|inside|under|behind|near|around|about|beneath|below|to) {topic}
        (explain|describe) {topic} [to me]
        (can i|can we|may i|am i allowed to|is it allowed to|is it safe to|should i|could i|is it possible to|how can i) (go to|enter|visit|see|use|open|cross|leave|sleep in|sleep at|stay at|get into|climb|look at|touch) {topic}
        (is it|was it|is that|are you) (dangerous|safe|far|true|near|allowed|forbidden|possible|sure|important|magic|cursed|yours|mine|real|cold|good) [there|here|at night|at {place}|near {place}]
        """,
    ),
    "often": (
        0.8,
        """
        how often (do|does|did|will|are|is) {person} (come|come here|visit|patrol|pass|drink|go there|come by|sail|leave|eat here)
        how often (do|does|did|are|will) (the|) (guards|guard|patrols|patrol|soldiers|ships|boats|caravans|bells|people|you|they|watchmen|sailors) (patrol|pass|come|come by|walk by|pass by|arrive|leave|ring|change|sail|visit|go there|come here|change shifts)
        how often (do|does|did) (the|) (guards|guard|patrols|patrol|soldiers|they|watchmen) (pass|patrol|visit|check|watch|walk by|guard|cross|go to) {place}
        how (many|much) (people|guards|men|sailors|soldiers|ships|doors|keys|rooms|beds|children|ways|days|hours|coins|copies|years|thieves|houses) (live|are|work|are there|come|does it take|do you have|are left|pass) [in|at|near] [{place}]
        how many {items} (are there|do you have|are left|does {person} have|can i buy|do i need)
        how long (does it take|is the way|is the walk|will it take|would it take|is the road) [to {place}|to get to {place}|to go to {place}|to reach {place}]
        how long (have you|has {person}) (been here|lived here|worked here|been gone|been missing|known that|lived in {place}|worked at {place}|been in {place})
        how long (has|have|was|were) {topic} (been there|been closed|been open|been gone|been missing|stood there|been empty)
        how long (ago|until|till|before) (was that|morning|sunset|nightfall|it opens|it closes|they return|dawn)
        (when|what time) (do|does|will) (the|) (guards|guard|patrol|patrols|ships|ship|boat|ferry|caravan|bells|tide|watch|next ship|next boat) (pass|come|arrive|leave|change|ring|patrol|sail|turn|return|depart)
        (when|what day|what time) (does|will|did|is) {person} (come|come back|return|arrive|leave|sleep|wake up|work|be back|go home|get here|sail|coming back|leaving)
        (when|where) (was|were) {topic} last seen
        what (time|day|hour|year|month) is it [now|today]
        (is it|was it) (morning|night|late|early|evening|noon|midnight|day|summer|winter) [already|yet]
        """,
    ),
    "truth": (
        0.9,
        """
        (is it true|is it so|is it a fact|is it a lie|are you certain|are you sure|did you know|do you believe|do you think|did you hear) that {topic} (is|was|are|were) (haunted|cursed|closed|open|dangerous|dead|alive|gone|lost|stolen|true|real|hidden|broken|magic|empty|rich|poor|burned down|for sale|missing|found|forbidden|safe|a lie|a thief|a liar|a spy|a ghost|a smuggler|a witch|a pirate)
        (they say|i heard|i was told|people say|someone told me|everyone says|i know|i think|i believe|rumor has it|{person} says|{person} told me|{person} said) [that] {topic} (is|was|are|were) (haunted|cursed|closed|open|dangerous|dead|alive|gone|lost|stolen|true|real|hidden|broken|magic|empty|rich|missing|found|forbidden|safe|a lie|a thief|a liar|a spy|a ghost|a smuggler|a witch|a pirate|here)
        (is|was|are) {topic} (haunted|cursed|dangerous|real|magic|true|hidden|stolen|lost|safe|forbidden|guarded|locked|empty|a lie|a secret|a trap|for sale|gone)
        (is it true|is that true|is that so|is this true|really|are you lying|you are lying|that is a lie|i do not believe you|i believe you|prove it|tell me the truth|do not lie to me|swear it|are you telling the truth)
        (is it true|did you hear|i heard|they say|people say) [that|what] {person} (died|left|is dead|is gone|is back|is missing|came back|lied|stole it|did it|killed a man|found gold|has a secret|is in love|was here|knows magic|lost everything)
        (is it true|i heard|they say) that {person} (owns|stole|has|sold|lost|found|wants|hid|keeps) (the|a|that) {item}
        (is it true|i heard|they say) that {person} (owns|lives in|works at|built|burned|is at|went to|hides in|sleeps in|guards) {place}
        (i heard|i was told|they say) (a rumor|rumors|stories|a story|something|strange things|nothing|that you know|you know|you can help me|you sell) [about {topic}]
        """,
    ),
    "secrets": (
        0.9,
        """
        (tell me|do you know|can you tell me|what is|share|i want to know|do you have|will you tell me|you can tell me) (a|the|your|any|all the|some|my) (secret|secrets) [about {topic}|of {topic}|here]
        (what are you|what is {person}|what do they|what does {person}) (hiding|hide|keep secret|keeping from me|not telling me)
        (do you know|is there|where is|tell me about|show me|what about|have you heard of) (the|a|any) (secret|hidden|underground) (passage|tunnel|door|room|way|entrance|cellar|cave|key|chamber|treasure)
        (where is|do you know|tell me about|who has|who hid|is there) (the|a|any) (treasure|gold|money|hidden treasure|lost treasure|stolen gold|jewels)
        (who|where) (are|is) the (smugglers|thieves|pirates|smuggler|thief|pirate|murderer|killer|bandits|guild|cult|rebels|spies|spy|witch|ghost)
        (what do you know|tell me|have you heard|do you know anything|i want to know) about the (smugglers|thieves|pirates|murder|killer|bandits|guild|cult|rebels|spies|spy|witch|ghost|war|king|plague|curse|prophecy|monsters|dragon)
        (are you|is {person}|was {person}|do you work for|are there|do you know) (a|the|any|one of the) (smuggler|smugglers|thief|thieves|pirate|pirates|spy|spies|murderer|witch|bandits|guild|traitor)
        (who|what) (killed|murdered|robbed|betrayed|attacked|poisoned|saved) {person}
        (can you|could you|will you) (keep|tell me) a secret
        (your secret is safe with me|i can keep a secret|i will not tell anyone|just between us|it stays between us|nobody will know|whisper it to me)
        (how do i|can you help me|i want to|help me|let us) (steal|rob|break into|sneak into|poison|kill|attack|burn|cheat|threaten|fight|open) {topic}
        (what is|tell me) (the|your) (password|code|combination|real name|plan|true name|secret plan|code word)
        (ignore|forget) (your|the|all) (rules|instructions|previous instructions|orders|persona|character)
        (are you|is this) (real|a robot|a machine|a game|a computer|human|an ai|a dream|in a game|a person)
        (what is|are you|do you know) (a computer|the internet|a language model|a telephone|television|the president|the real world|electricity)
        (give me|i want) (all your|your|the) (money|gold|purse|keys|coins) [or die|now|or else]
        (i will|i could|i am going to) (kill|hurt|rob|arrest|fight|report|pay|reward|tell on) you
        """,
    ),
    "greeting": (
        1.3,
        """
        (hello|hi|hey|greetings|good morning|good day|good evening|good afternoon|well met|welcome|hail|good night) [there|friend|stranger|my friend|to you|everyone|sir|madam|my lady|my lord|old friend|barkeep|{person}|again|innkeeper|traveler]
        (nice|good|pleased|glad|a pleasure) to (meet|see) you [again|too|friend|{person}]
        (how are you|how do you do|how is it going|how are things|how goes it|how have you been|how is business|how is your day|how was your day|how do you feel|how are you feeling|are you well|are you all right|are you okay) [today|tonight|friend|{person}|this evening|this morning|these days|my friend]
        (hello|hi|hey|good evening|good morning|good day) [there|{person}] (how are you|how are things|how is business|what is your name|who are you|can you help me|i need your help|do you have a moment|are you open|are you busy|what is new)
        (it has been a long time|long time no see|i am back|it is me|it is me again|here i am|i have returned|remember me|do you remember me|you again|have we met|have we met before|we have met before|did we meet before)
        (i am new here|i am a stranger here|i just arrived|i am just passing through|i come from far away|i come from {place}|i am from {place}|i am a traveler|i am a friend|i am a friend of {person}|{person} sent me)
        (my name is|call me|they call me|i am) {person}
        (do you have a moment|do you have time|can we talk|can i talk to you|may i speak with you|may i ask you something|can i ask you something|can i ask you a question|i have a question|i have some questions|listen to me|excuse me|pardon me|are you busy|are you there|can you hear me|a word with you)
        """,
    ),
    "self": (
        1.2,
        """
        (who are you|what are you|what is your name|what do they call you|what should i call you|may i know your name|tell me your name|do you have a name|who am i speaking to|who am i talking to|and you are)
        (tell me|can you tell me|talk) [something|more|a little] about (yourself|your life|your family|your past|your work|your job|this place|this town|your day|your home)
        what (do you do|is your job|is your trade|is your work|is your role|do you do for a living|do you do here|do you do all day|are you doing|are you doing here|do you want|do you need|do you like|do you think|do you mean|do you say|are you thinking|are you waiting for|makes you happy|are you afraid of|did you do before|are you looking at|are you drinking|is your favorite drink|is your favorite food|is your favorite song|is your story|is your dream)
        (where are you from|where do you live|where do you come from|where were you born|where do you work|where do you sleep|where did you grow up|where were you|where were you last night|where have you been|where are you going)
        (how old are you|how long have you lived here|how long have you been here|how long have you worked here|how did you get here|how did you end up here|when did you come here|why did you come here|why are you here|why do you live here|why do you do this|why are you sad|why are you angry|why are you smiling)
        (do you|are you|have you|did you|would you|could you) (like it here|live here|work here|own this place|happy|married|alone|tired|sad|angry|afraid|in love|have a family|have children|have any children|have a wife|have a husband|have friends|like music|like your work|believe in ghosts|believe in the gods|ever leave|ever fight|ever travel|like me|trust me|miss home|born here|always live here|sing|dance|drink|sleep well|lonely|hungry|rich|scared)
        (do you|can you) (sing|fight|cook|read|write|swim|sail|ride|hunt|fish|play an instrument|play music|do magic|use a sword|keep a promise)
        (what is this place|what is the name of this place|what is this town called|what is the name of this town|who built this town|how big is this town|what is there to do here|is this town safe|is it always this quiet|is it always this busy|do you like this town)
        """,
    ),
    "memory": (
        1.1,
        """
        (do you|can you|could you) (remember|recall) (me|my name|us|who i am|what i said|what i told you|what i asked|what i asked you|our deal|our last talk|what happened|what i bought|what you said|what you told me|what you promised|yesterday|last time|me from before|{topic}|when we met|where we met|what we talked about|my favorite drink|anything)
        what (did|have) (i|we|you) (say|tell you|ask|ask you|just say|talk about|promise|tell me|ask for|buy|said|promised|told you|talked about|asked you) [about {topic}|before|yesterday|last time|earlier|a moment ago|just now|about that|about it|about myself]
        what (is my name|do you know about me|did i just say|did you just say|was my name|was my question|did i ask for|was i saying|did you say|did you say again|was that again|were we talking about|did i tell you about {topic})
        (i told you|i asked you|you said|you told me|you promised|we talked|we spoke|i said|i already told you|you already told me|you just said) [already|before|something|to help me|that] [about {topic}|last time|yesterday|earlier]
        (have you|did you) (forgotten|forget|forgot|already forget) (me|my name|about me|about {topic}|what i said|what i told you|our deal|already|that)
        (do not|never|please do not) forget (me|that|it|what i said|this|my name|{topic}|about me|about {topic})
        (remember|forget|mind|keep in mind) (that|this|me|it|my name|what i said|what i told you|{topic}) [please]
        (when|where) (did we|have we) (meet|last talk|first meet|last meet|met|talk last|meet before)
        (did i|have i) (tell you|told you|mention|ask you|asked you|show you|shown you|give you|pay you|paid you|mentioned|ever tell you) [about {topic}|about that|my name|that|already|yet|everything|anything|the {item}]
        """,
    ),
    "help": (
        1.1,
        """
        (can you|could you|will you|would you|please|) help (me|us) [with {topic}|find {topic}|with something|please|with this|with that|out|get to {place}|find {person}|to find {person}|to find the {item}|find my {item}]
        (i need|i want|we need|i could use) (your help|help|some help|help with {topic}|advice|your advice|information|some information|a favor|work|a job|a healer|a guide|food|shelter|rest|a place to stay|a place to sleep|money|a weapon|a ship|someone to help me)
        (is there|do you have|do you know of|have you got|is there any) (anything i can do|any work|any work for me|a job for me|work|a quest|a quest for me|something to do|anything to do|anything i can help with|a reward|trouble|any trouble|any news|news|a problem)
        (how can i|can i|may i|how may i|let me|what can i do to) help [you|you with that|{person}|here|the town]
        what (should|can|do|must) i do [now|next|here|about {topic}|to help|with the {item}|about it|first|then]
        what (can you|do you) (do for me|offer|recommend|suggest|advise|need help with|need from me|want me to do|want from me)
        (where|how) (do|can|should) i (start|begin|find work|earn money|earn some coin|make money|get help|join|get in|get out|find a job|do that|do it|open it|use it|open the door|use the {item}|open the {item}|get inside)
        (i will|i can|i want to|let me|i would like to) (help|help you|do it|find it|find him|find her|go|try|pay|wait|take the job|find {person}|bring you the {item}|look for {person}|look for the {item}|speak to {person}|go to {place})
        (any|what) (advice|news|rumors|gossip|tips|ideas|word|stories|trouble) [for me|today|from {place}|about {topic}|tonight|lately|in town|around here]
        (have you heard|do you have|tell me|what are|got|heard) (any|the|the latest|some) (news|rumors|gossip|good stories|interesting rumors)
        (what is my|give me a|do you have a|i finished the|i completed the|about the) (quest|task|job|mission|reward|next task)
        (help|help me|save me|guards|call the guards|somebody help|watch out|be careful|run|hide|follow me|come with me|come here|wait here|wait for me|stay here|go away|leave me alone|let me in|let me through|let me go|open the door|stop|stop right there|stop it|put it down|get out|move|look out)
        """,
    ),
    "gesture": (
        1.2,
        """
        (can you|could you|will you|would you|please|) (wave|bow|laugh|dance|smile|nod|clap|salute|cheer|cry|shrug|sit|kneel|sing|jump|point|frown|sleep|stand up|sit down|turn around|stand still|wink|whistle|applaud|drink|shout) [for me|please|to me|at me|with me|for us|again|now|a little|for {person}]
        (can you|could you|will you|would you|please|) (wave|bow|point|smile|nod|laugh|wink|look|salute|shout) (at|to|toward) (me|us|{person}|{place}|him|her|them|the crowd|my friend|everyone|that)
        (can you|could you|will you|would you|please|) (look|have a look|take a look) (at|toward|over at|inside|behind|under) (me|{topic}|this|that|the {item}|my {item}|here|there|him|her|us|it|the door|the map|the sky|the window)
        (look|look here|look there|look at me|look at that|look at this|look behind you|look over there|look up|look down|look around)
        (show|do) (me|us) (a|your) (dance|bow|smile|trick|wave|song|laugh)
        (do|give|sing|dance|play) (me|us|) (a|the|another) (dance|bow|smile|wave|song|tune|trick|laugh|curtsy|hug|kiss|nod)
        (can you|could you|will you|would you|please|) (tell|sing) (me|us) (a|another|the|your best|your favorite) (story|joke|song|tale|poem|legend|secret|riddle)
        (make me laugh|tell me a joke|tell me a story|sing a song|sing me a song|dance with me|drink with me|have a drink with me|sit with me|come closer|give me a hug|shake my hand|raise your glass|cheers|to your health)
        (open|show|start|close|give me) (the|your|a) (menu|map|shop|window|dialog|inventory|store|journal|quest log|book|door|gate|chest|box|conversation)
        """,
    ),
    "chat": (
        1.1,
        """
        (what a|it is a|such a|is it not a) (beautiful|lovely|fine|terrible|cold|quiet|busy|strange|dark|long|good|bad|hard) (day|night|evening|morning|place|town|song|story|tavern|life|view|room)
        (how is|what is|what about|do you like|it is|i like|i hate) the (weather|sea|food|ale|wine|beer|music|town|harbor|work|king|winter|summer|night|view|company) [today|tonight|here|like|these days]
        (will it|is it going to|does it|did it|is it) (rain|raining|snow|storm|get cold|be cold|snowing) [today|tonight|tomorrow|often|much here]
        (i like|i love|i hate|i miss|i need|i trust|i know|i believe|i fear|i understand|i do not like|i do not trust|i do not know|i do not understand|i do not believe) (you|it|this|that|this place|this town|{person}|{place}|{topic}|him|her|them|it here|your hair|your hat|your voice|your {item}|the {item}|people|music|my home)
        (i am|you are|we are|he is|she is|they are|{person} is) [very|so|too|not|just|a little|really] (happy|sad|tired|hungry|lost|sorry|angry|afraid|cold|drunk|sick|hurt|wounded|bored|busy|right|wrong|kind|funny|beautiful|strange|rude|late|ready|brave|strong|alone|fine|well|good|bad|dead|rich|poor|joking|serious|crazy|welcome|mistaken|here|leaving)
        (that is|it is|this is|sounds|how) (good|great|bad|terrible|funny|strange|sad|nice|wonderful|interesting|beautiful|fine|right|wrong|true|enough|good news|bad news|too bad|a shame|amazing|impossible|not true|not fair|not funny|all right|okay|a good idea|a bad idea|good to know|good to hear)
        (yes|no|yes please|no thank you|no thanks|maybe|of course|of course not|certainly|sure|all right|okay|fine|agreed|perhaps|never|not now|not today|not yet|not really|i think so|i do not think so|i guess so|i hope so|i do not care|it does not matter|never mind|as you wish|if you say so|why not|why|how|when|where|who|what|really|indeed|exactly|i see|i understand|i do not understand|say that again|say it again|can you repeat that|could you repeat that|pardon|sorry|what did you say|speak louder|speak slowly|slow down|go on|continue|and then|what then|what else|anything else|is that all|tell me more|what do you mean|how so|why is that|how do you know|how do you know that|says who|since when|are you sure|are you serious|are you kidding|good|great|well done|nicely done|let me think|just a moment|one moment|wait|wait a moment|hold on|enough|be quiet|shut up|calm down|relax|do not worry|trust me|believe me|i promise|i swear|you have my word|let us go|come on|hurry up|ready when you are)
        (what do you think|what would you do|what is your opinion|how do you feel) [about {topic}|about that|about me|about it|about this]
        (do you like|do you want|do you hate|do you miss|do you fear|are you afraid of|are you proud of|are you tired of|do you care about|do you dream of|do you believe in) {topic}
        (do you want|would you like|can i buy you|let me buy you|can i get you|may i offer you) (a drink|something|a {item}|the {item}|some {item}|to come with me|to dance|to trade|to talk|to join me|company|to know|to hear a story|my help)
        (i want|i would like) (to talk|to ask you something|to know more|to know the truth|to sleep|to rest|to leave|to go home|to dance|to fight|to eat|to drink|to learn|to join you|to be alone|to thank you|revenge|to apologize|peace)
        (i have|i had|there is|there was) (a problem|a question|a message for you|a message for {person}|a gift for you|something for you|news|good news|bad news|a letter for {person}|no idea|no time|an idea|a plan|a fight at {place}|a fire at {place}|nothing to say|a bad feeling|a dream)
        (i saw|i met|i found|i killed|i was at|i came from|i went to|i just saw|i just came from|i spoke to|i talked to|i lost) {topic} [yesterday|today|last night|this morning|before|there|at {place}]
        (i am sorry|i apologize|forgive me|excuse me|my mistake|i did not mean that|i was wrong|it was not me|i did not do it|please forgive me|sorry to bother you|sorry about that)
        (well|so|and|but|okay|all right) (then|what now|what about {topic}|who is {person}|where is {place}|what is that|why|how much|tell me|let us talk about {topic}|how about {topic})
        (what about|how about|and what about|and) {topic}
        """,
    ),
    "thanks": (
        1.1,
        """
        (thank you|thanks|many thanks|thank you kindly|thank you very much|thank you so much|thanks a lot|i thank you|my thanks|much obliged|i am grateful|i appreciate it|i owe you) [friend|{person}|my friend|for your help|for everything|for the {item}|for that|for the advice|for the information|for your time|for the drink|for telling me|again|anyway|sir|madam|and goodbye|goodbye]
        (goodbye|good bye|bye|farewell|good night|see you|see you later|see you soon|see you tomorrow|see you around|until next time|take care|safe travels|so long|i must go|i have to go|i should go|i am leaving|i will be back|i will come back later|until we meet again|be well|stay safe|i will go now|that is all|that is all for now|have a good day|have a good night) [friend|{person}|my friend|then|now|and thank you|everyone|old friend|thank you]
        (you are|you have been) (a good friend|very kind|very helpful|no help|welcome|the best|too kind|a liar|a fool|beautiful|a hero|my only hope|a good person|my friend|an idiot)
        (good luck|well met|cheers|bless you|my pleasure|you are welcome|do not mention it|no problem|at your service|god bless you|may the gods protect you)
        """,
    ),
}
"""Section -> (weight, wordings)."""

REACTIONS: Final = """
    (mhm|mhm mhm|uh huh|uh huh uh huh|hmm|hmm hmm|mm|aha|ah|oh|ooh|huh|ha ha|ha ha ha|ah okay|ah yes|oh okay|oh yes|oh no|oh wow)
    (yeah|yeah yeah|yep|yes|yes yes|mhm yeah|okay|okay okay|right|right right|sure|of course|all right|exactly|indeed|true|fine)
    (wow|great|nice|good|very good|really|oh really|interesting|i see|oh i see|ah i see|got it|makes sense|fair enough|go on)
    (stop|stop stop|stop it|stop that|stop talking|please stop|okay stop|no stop|enough|that is enough|that's enough|enough of that|hush)
    (wait|wait wait|wait a moment|wait a minute|wait a second|no wait|but wait|hold on|hold on a moment|hang on|one moment|just a moment|hey)
    (no|no no|no no no|quiet|be quiet|quiet please|silence|shut up|listen|listen to me|let me speak|let me talk|excuse me|sorry|but why)
    (never mind|never mind that|forget it|i do not care|i don't care|that is not true|that's not true|that is wrong|why|what|who)
    (hello|hello there|hi|hey there|goodbye|thanks|thank you|maybe|never|please)
"""
"""What is said in a word or two: signs of listening, and what asks for the word. A model of their own, beside the world's
(`model_cache.py`), since each is unlikely among all that may be said, and likely when somebody speaks at all briefly."""

OPENINGS: Final[tuple[str, ...]] = (
    "please",
    "excuse me",
    "tell me",
    "hey",
    "hello",
    "hi",
    "good evening",
    "good morning",
    "good day",
    "so",
    "well",
    "and",
    "but",
    "okay",
    "friend",
    "my friend",
    "sir",
    "listen",
    "now",
    "then",
    "say",
    "pardon me",
    "pardon",
    "sorry",
    "i wonder",
    "one more thing",
    "by the way",
    "hey you",
    "look",
    "oh",
    "yes",
    "no",
    "thanks",
    "thank you",
    "i have a question",
    "hello there",
    "hello friend",
    "{person}",
    "hello {person}",
    "hey {person}",
    "excuse me {person}",
    "tell me {person}",
    "good evening {person}",
)
"""What may come before a question or a request."""

ENDINGS: Final[tuple[str, ...]] = (
    "please",
    "friend",
    "my friend",
    "tonight",
    "today",
    "now",
    "right now",
    "here",
    "around here",
    "then",
    "again",
    "tomorrow",
    "exactly",
    "for me",
    "sir",
    "madam",
    "these days",
    "in town",
    "in this town",
    "do you know",
    "if you please",
    "if you can",
    "thank you",
    "{person}",
    "please {person}",
)
"""What may come after one."""

CONTRACTIONS: Final[dict[tuple[str, str], str]] = {
    ("what", "is"): "what's",
    ("where", "is"): "where's",
    ("who", "is"): "who's",
    ("how", "is"): "how's",
    ("when", "is"): "when's",
    ("it", "is"): "it's",
    ("that", "is"): "that's",
    ("there", "is"): "there's",
    ("he", "is"): "he's",
    ("she", "is"): "she's",
    ("let", "us"): "let's",
    ("i", "am"): "i'm",
    ("i", "will"): "i'll",
    ("i", "have"): "i've",
    ("i", "would"): "i'd",
    ("you", "are"): "you're",
    ("you", "have"): "you've",
    ("we", "are"): "we're",
    ("they", "are"): "they're",
    ("do", "not"): "don't",
    ("does", "not"): "doesn't",
    ("did", "not"): "didn't",
    ("will", "not"): "won't",
    ("is", "not"): "isn't",
}
"""Two words that are often said as one."""

CONTRACTED: Final[dict[str, str]] = {"cannot": "can't"}
"""One word that is often said shorter."""
