"""End of turn: how finished the player's words look, and so how long a silence is waited before the turn is over.

    words -> openings removed, last clause -> the first row of `_RULES` that fits -> doubt -> milliseconds

A row is a pattern and a doubt that the words are complete (0 finished, 1 surely not); where none fits, they look
finished. A pattern is a regular expression over words with single spaces; without `^` it is about the clause's last
words. Names in braces stand for the lists of `_LISTS`; `{thing}` is any word that may be in a name, `{np}` a subject.
Of 200 other questions to Lanternport 94 % look finished at their end, and 86 % of the gaps ask for 500 ms or more.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Final

from mythicd.text.english.abbreviations import TITLE_WORDS
from mythicd.text.english.words import straight_apostrophes

FINISHED: Final = 0.0
OPEN: Final = 0.4
"""As likely complete as not."""
LIKELY_NOT: Final = 0.6
UNFINISHED: Final = 0.8
SURELY_NOT: Final = 1.0
_DOUBTED_FROM: Final = 0.3
"""Doubt from which no response is prepared."""
_LAST_WORDS: Final = 30
"""Last words that are judged: a longer utterance has ended a sentence before them, or is misrecognised."""


@dataclass(frozen=True, slots=True)
class Completeness:
    """The judgement of some words: how finished they look."""

    doubt: float
    """0 (finished) to 1 (certainly more to come)."""
    reason: str
    """The row of the table that decided."""

    def wait_ms(self, *, least_ms: float = 200.0, most_ms: float = 700.0) -> float:
        """Return the silence to wait for after these words, in milliseconds."""
        return least_ms + self.doubt * (most_ms - least_ms)

    @property
    def looks_finished(self) -> bool:
        """Whether a response should be prepared already."""
        return self.doubt < _DOUBTED_FROM


_LISTS: Final[dict[str, str]] = {
    "det": "the a an my your our their its every each some any no another which whose",
    "wh": "what where when who whom why how which whose",
    "be": "is are am was were isn't aren't wasn't weren't",
    "do": "do does did don't doesn't didn't",
    "modal": "can could will would shall should may might must can't cannot couldn't won't wouldn't shouldn't",
    "have": "have has had haven't hasn't hadn't",
    "i": "i you he she it we they",
    "subject": "i he she we they",
    "whoever": (
        "i you he she it we they this that these those there someone somebody anyone anybody everyone everybody "
        "nobody one people"
    ),
    "object": "me him her us them you it",
    "prep": (
        "of for from with without to into onto at in on by about under behind between near around through until "
        "till than as inside outside beside beneath below above across along against during before after since "
        "toward towards past over beyond like up down off"
    ),
    "particle": "in out up down on off over back away around by along here there",
    "conjunction": (
        "and but or because if whether so though although unless while since that than when where who why how "
        "what which"
    ),
    "degree": "very too so really quite more most less rather much many how as such only even almost just",
    "number": (
        "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty hundred "
        "thousand dozen few several"
    ),
    "measure": (
        "mug cup glass flask basket pot sack set bottle bowl piece loaf pair kind sort type bag box bit lot "
        "couple number price cost name way owner keeper part rest middle end top side front back barrel pound "
        "slice list"
    ),
    "title": f"{' '.join(TITLE_WORDS)} old young",
    "filler": "um uh er erm ehm hm hmm mm uhm like well",
    "give": "show tell give bring sell teach lend hand pass pour get fetch ask offer send take lead promise buy find",
    "adj": (
        "blue red green black white silver golden gold old new young good bad big small little long short great "
        "fine open closed shut busy empty free cheap expensive dangerous safe far near close true real dead "
        "alive married happy sad tired angry rich poor honest kind evil strong brave ready sure afraid right "
        "wrong hungry thirsty lost late early cold hot warm dark quiet strange special important haunted cursed "
        "locked broken hidden stolen gone missing best better other same whole fresh nice lovely beautiful "
        "terrible sick hurt drunk crazy serious certain possible allowed forbidden magic alone well fast slow "
        "high low heavy famous lonely scared funny rude bored welcome mad fair worth available reliable raining "
        "asleep awake guilty wooden iron woollen fond proud ill innocent"
    ),
    "adverb": (
        "here there now today tonight tomorrow yesterday then again too already yet still soon please ever never "
        "often always lately recently nearby away home back outside inside upstairs downstairs anymore enough "
        "really much well exactly anyway though instead alone together else once twice later early late alive "
        "around first next"
    ),
    "verb": (
        "be do have go come get make take see find know buy sell give tell show say ask want need like love hate "
        "live work sleep eat drink stay keep open close shut cost leave arrive return begin start end stop "
        "happen mean think believe trust remember forget forgive help wait talk speak hear listen look watch "
        "read write sing dance wave bow laugh smile nod jump sit stand walk run ride sail travel fight kill die "
        "steal rob hide fear own owe add pay charge trade repair mend build break burn use try learn teach play "
        "cook serve visit enter reach meet follow lead bring carry hold put set mark point turn climb swim fish "
        "hunt patrol pass guard rule protect attack defend join accept refuse offer promise lie swear cheat "
        "marry miss lose win feel smell taste sound seem call name rain snow ring change move cross pick lend "
        "borrow rent hire deliver belong matter care worry hurt heal save wake rise fall grow become send lock "
        "unlock cry shout whistle wink clap cheer kneel pray haunt curse sink catch cut draw drop throw push "
        "pull knock appear disappear escape explain describe recommend suggest"
    ),
    "transitive": (
        "find fear add send forget want need buy sell get have see take bring give show tell mark meet visit "
        "reach enter own make keep ask mean like love hate use borrow rent trust know trade repair mend steal "
        "kill fight protect guard hold carry fetch hand pass pour teach lend offer catch say hear build run "
        "charge call"
    ),
    "past": (
        "went came saw broke stole took told said gave got lost found made left fell sold bought knew kept met "
        "sent wrote heard thought built won did had became began drank ate ran sank"
    ),
    "gone": (
        "seen heard met got found been had taken made sold bought brought told shown given done known kept lost "
        "stolen visited tried spoken talked"
    ),
    "owns": (
        "owns sells has makes buys keeps runs guards built wants knows took stole found lost holds leads rules "
        "wrote won founded told killed made sold bought lives works watches saw controls carries needs"
    ),
}
"""Word lists, by the name under which they stand in patterns."""

_OPENINGS: Final = (
    "excuse me|pardon me|pardon|please|hey there|hey you|hey|hello there|hello friend|hello again|hello|"
    "hi there|hi|good (?:evening|morning|day|afternoon)|greetings|well|so|okay|ok|oh|ah|now|then|listen|sorry|"
    "sir|madam|my friend|friend|yes|no|thanks|thank you|by the way|one more thing|one question|"
    "i have a question|actually|also|and|but|um|uh|er|hm|all right|right|alright|i wonder|tell me this|"
    "quick question|come on|you know|i mean"
)
"""Openings before the real question."""

_WHOLE: Final = (
    "yes|no|yeah|yep|nope|stop|wait|hello|hi|hey|goodbye|good bye|bye|farewell|thanks|thank you|okay|ok|sure|"
    "right|all right|alright|please|yes please|no thanks|no thank you|maybe|perhaps|never|never mind|of course|"
    "exactly|indeed|really|great|fine|deal|enough|help|cheers|good (?:evening|morning|day|afternoon|night)|"
    "well met|sorry|pardon|hold on|come on|go on|come in|come here|go away|get out|get up|watch out|look out|"
    "shut up|slow down|calm down|hurry up|sit down|stand up|turn around|turn left|turn right|not now|not yet|"
    "not really|not today|i see|i know|i understand|i (?:do not|don't) (?:know|understand|care|think so|"
    "believe you|mind|remember)|i think so|i (?:can|would|could)(?: not)?|i do|i did|who knows|"
    "straight ahead|my mistake|so do i|me too|let me think|forget it|continue|again|why not|what now|what then|"
    "what else|how so|how come|who else|where to|and you|and then|i love you|how are you|who are you|see you|"
    "follow me|wait for me|help me|trust me|forgive me|hello there|greetings|ready|welcome|well done|"
    "that is all|that's all|one moment|just a moment|one|two|three|leave me alone|are you sure|is that so|"
    "is that true|is it true|let us go|let's go|no way|my friend|sir|madam|says who|say that again"
)
"""Words that are complete when they stand alone."""


@dataclass(frozen=True, slots=True)
class _Rule:
    reason: str
    doubt: float
    patterns: tuple[str, ...]


_RULES: Final = (
    # the last word or two cannot stand at an end
    _Rule("hesitates", SURELY_NOT, ("(um|uh|er|erm|ehm|hm|hmm|uhm)$", "(i mean|sort of|kind of|let us say)$")),
    _Rule("embedded clause is whole", FINISHED, ("\\S+ {wh} (\\S+ ){1,5}(is|are|was|were|am)$",)),
    _Rule("ends in an article or the like", SURELY_NOT, ("{det}$", "(with|to|for|from|about|of|in|at) his$")),
    _Rule("asks where something comes from or goes", FINISHED, ("^(where|what|who|which) .+ {stranded}$",)),
    _Rule("asks where something comes from or goes", FINISHED, ("^(what|which) \\S+ {be} .+ (in|on|at|with)$",)),
    _Rule("asks where someone has been", FINISHED, ("^(where|how|who) .+ been$",)),
    _Rule("ends in a phrasal verb", FINISHED, ("{go} {particle}$", "{go} {object} {particle}$")),
    _Rule("ends in a preposition", UNFINISHED, ("{prep}$",)),
    _Rule("ends in a number", UNFINISHED, ("^(?!.* (at|is|are|until|than|before|after) {number}$)(.* )?{number}$",)),
    _Rule("ends in a possessive", SURELY_NOT, ("\\S+'s$",)),
    _Rule(
        "ends in a measure", UNFINISHED, ("(a|an|the|some|another|what|which|no|this|that|one|of|{number}) {measure}$",)
    ),
    _Rule("ends in a title", UNFINISHED, ("^(?!(.* )?({det}|\\S+(or|our)) {title}$)(.* )?{title}$",)),
    _Rule("ends in a bare adjective", SURELY_NOT, ("({det}|how many|how much|this|these) ({adj} )*{adj}$",)),
    _Rule(
        "ends in a word of degree",
        UNFINISHED,
        ("(very|quite|rather|as|such|only|even|almost|just)$", "{be} too$", "{be} ({whoever}|{np}) (so|still)$"),
    ),
    # a question word, or a beginning, and nothing after it
    _Rule("only a question word", UNFINISHED, ("^{wh}$", "^(what|which|at what) (time|kind|sort|color|day|hour|way)$")),
    _Rule("only a question word", LIKELY_NOT, ("^how (far|long|old|often|many|much|big|well|dangerous|soon|late)$",)),
    _Rule("only a question word", UNFINISHED, ("^(what|which) {thing}$", "^how (many|much) {thing}$")),
    _Rule("what or where are you, but what follows", LIKELY_NOT, ("^(where|what) are you$",)),
    _Rule("asks who, what or how one is", FINISHED, ("^(where|who|how|what|how \\S+) {be} {i}$",)),
    _Rule(
        "asks what is done or had",
        FINISHED,
        ("^(what|which|how (many|much)) .*({do}|{modal}) {np} (do|have)$", "^what .* to do$"),
    ),
    _Rule("ends in an auxiliary", UNFINISHED, ("({be}|{do}|{modal}|{have}|not|been|to be|let|lets|let's)$",)),
    _Rule("ends in a short form", UNFINISHED, ("(i'm|you're|we're|they're|he's|she's|it's|that's|there's|i'll)$",)),
    _Rule("ends in a short form", UNFINISHED, ("(i've|you've|i'd|what's|where's|who's|how's|when's|you'll|we'll)$",)),
    _Rule(
        "auxiliary and subject only",
        UNFINISHED,
        ("^({wh} |(what|which|how) (\\S+ ){1,2})?({do}|{modal}|{have}) {np}$",),
    ),
    _Rule("be and subject only", UNFINISHED, ("^(why |when |(what|which) (time|day|hours) )?{be} {np}$",)),
    _Rule("embedded subject only", UNFINISHED, ("\\S+ {wh} {np}$",)),
    _Rule(
        "ends in a subject",
        UNFINISHED,
        ("{subject}$", "^(you|it|that|there)$", "(that|if|and|because|think) (you|it)$"),
    ),
    _Rule("ends in a joining word", SURELY_NOT, ("(and|but|or|because|if|whether|unless|while|than|although)$",)),
    _Rule("ends in a joining word", UNFINISHED, ("\\S+ {wh}$",)),
    _Rule("says that something follows", UNFINISHED, ("{tells} that( {np})?$",)),
    _Rule(
        "a verb of giving without its object",
        UNFINISHED,
        (
            "(^|{modal} {i} |please |{do} not |to ){give} (me|us|him|them)$",
            "^i('ll| will) {give} you$",
        ),
    ),
    _Rule("a verb of giving without its object", UNFINISHED, ("^let (me|us|him|her)$", "^(excuse|pardon) me$")),
    _Rule("introduces", UNFINISHED, ("(want|like|love|need|have|had|going|try|trying|used|able|ready|how) to$",)),
    _Rule("introduces", UNFINISHED, ("^(i|we) (heard|think|was told|hope|wonder|need|want|wish|would like)$",)),
    _Rule("introduces", UNFINISHED, ("^{be} there( {degree})?$", "^there {be}$", "^(do|did) you (know|think|mean)$")),
    _Rule(
        "introduces",
        UNFINISHED,
        ("^(good|thank|many|my name|anything)$", "^what happened last$", "(for|of|by|from) \\S+ing$"),
    ),
    _Rule("introduces", UNFINISHED, ("(i am|i'm|we are) (looking|searching|waiting|trying|here)$", "want to know$")),
    # a verb that needs an object
    _Rule("a verb without its object", UNFINISHED, ("^(where|how|when|why) (?!.*\\b(what|who) )(.* )?{transitive}$",)),
    _Rule(
        "a verb without its object",
        UNFINISHED,
        ("^(?!{asked} )(.* )?({i}|{modal}|{do}|to|not|please|never) {transitive}$",),
    ),
    _Rule("a verb without its object", UNFINISHED, ("^({do}|{modal}) (.* )?{transitive}$", "^{transitive}$")),
    _Rule(
        "a verb without its object",
        UNFINISHED,
        ("^{have} (\\S+ ){1,3}{gone}$", "^(who|what|which \\S+) {owns}( this)?$"),
    ),
    # only a name or a thing
    _Rule("only a name or a thing", OPEN, ("^({det} )?({adj} )*{thing}( {thing})?$",)),
)
"""The first row that fits wins."""


_GREETS: Final = (
    "(?:hello|hi|greetings|good (?:morning|day|evening|afternoon|night)|goodbye|bye|farewell|thanks|thank you)"
)

_ASKED: Final = "(?:.* )?(?:what|which|who|whom|whose|how many|how much|that|it)"
"""Words with which the object of a verb stands before it."""
_TELLS: Final = "(heard|hear|know|think|true|sure|say|says|said|told me|told you|believe|believes|hope)"
_STRANDED: Final = (
    "(from|like|(looking|waiting|searching|working|used|good|known) for|(it|this|that|they) for|"
    "(talking|speaking|going|go|married|belong|up) to|(talking|thinking) about|(made|afraid) of|live in|work at)"
)
_GO: Final = (
    "(go|come|get|hold|watch|look|shut|slow|calm|hurry|sit|stand|turn|lie|give|carry|move|run|stay|put|take|bring|walk|"
    "open|close|wake|speak|keep|let|coming|going)"
)


def completeness(words: str, *, beginnings: Collection[str] = frozenset()) -> Completeness:
    """Judge the words recognised so far. `beginnings` come from `name_beginnings`."""
    said = " ".join(straight_apostrophes(words.lower()).split()[-_LAST_WORDS:])
    if not said:
        return Completeness(OPEN, "no words")
    if _WHOLE_PATTERN.fullmatch(said):
        return Completeness(FINISHED, "said whole")
    if _begins_a_name(said.split(), beginnings):
        return Completeness(UNFINISHED, "begins a longer name")
    clause = _last_clause(said)
    for rule, patterns in _COMPILED:
        if any(pattern.fullmatch(clause) for pattern in patterns):
            return Completeness(rule.doubt, rule.reason)
    return Completeness(FINISHED, "nothing is missing")


def wait_ms(words: str, *, least_ms: float = 200.0, most_ms: float = 700.0) -> float:
    """Return the silence to wait for after these words, in milliseconds."""
    return completeness(words).wait_ms(least_ms=least_ms, most_ms=most_ms)


def looks_finished(words: str) -> bool:
    """Tell whether a response to these words should be prepared already."""
    return completeness(words).looks_finished


def name_beginnings(names: Collection[str]) -> frozenset[str]:
    """Return the beginnings of proper names that are not names themselves: "hester" of "Hester Stone".

    Names with a word in lower case are left out: the beginning of "the harbor master" is a place.
    """
    proper = [name.split() for name in names if all(word[:1].isupper() for word in name.split())]
    whole = {" ".join(name.split()).lower() for name in names}
    parts = {" ".join(name[:end]).lower() for name in proper for end in range(1, len(name))}
    return frozenset(parts - whole)


def _begins_a_name(words: list[str], beginnings: Collection[str]) -> bool:
    """Tell whether the last words begin a longer name; after an article ("the captain") they do not."""
    return any(
        " ".join(words[-count:]) in beginnings and not _DETERMINER.fullmatch("".join(words[-count - 1 : -count]))
        for count in range(1, min(3, len(words)) + 1)
    )


def _last_clause(said: str) -> str:
    """Remove what comes before the question: greetings and earlier clauses."""
    while (shorter := _OPENING_PATTERN.sub("", said)) != said:
        said = shorter
    return _CLAUSE_PATTERN.sub("", said)


def _words(name: str) -> str:
    return "(?:" + "|".join(re.escape(word) for word in _LISTS[name].split()) + ")"


@cache
def _macros() -> dict[str, str]:
    macros = {name: _words(name) for name in _LISTS}
    closed = "|".join(
        macros[name]
        for name in ("det", "be", "do", "modal", "have", "whoever", "object", "prep", "conjunction", "adverb")
    )
    not_a_thing = "|".join(
        (
            closed,
            macros["adj"],
            macros["past"],
            macros["verb"] + "(?:e?s)?",
            "his",
            r"\S{3,}(?:ed|ing|ous|ful|able|less)",
        )
    )
    macros["thing"] = rf"(?:(?!(?:{not_a_thing})(?: |$))\S+)"
    macros["np"] = (
        rf"(?:{macros['whoever']}|"
        rf"(?:{macros['det']} )?(?:{macros['adj']} )*{macros['thing']}(?: {macros['thing']}){{0,2}})"
    )
    return macros | {"stranded": _STRANDED, "go": _GO, "asked": _ASKED, "tells": _TELLS}


def _compile(pattern: str) -> re.Pattern[str]:
    macros = _macros()
    filled = re.sub(r"\{([a-z]+)\}", lambda found: macros[found[1]], pattern)
    front = "" if filled.startswith("^") else "(?:.* )?"
    return re.compile(front + filled.removeprefix("^").removesuffix("$"))


_DETERMINER = _compile("^{det}$")
_WHOLE_PATTERN = _compile(f"^(?:{_WHOLE}|{_GREETS}(?: {{thing}}| {_GREETS}){{1,3}})")
_OPENING_PATTERN = re.compile(rf"^(?:{_OPENINGS}) (?=\S)")
_CLAUSE_PATTERN = _compile("^.* (?:and|but|or|so) (?={wh} |{do} |{modal} |{be} |{have} |{i} )")
_COMPILED = tuple((rule, tuple(_compile(pattern) for pattern in rule.patterns)) for rule in _RULES)
