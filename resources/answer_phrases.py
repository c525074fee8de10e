"""The small grammar of the rule answerer: how listeners ask, how assistants answer. All of it is our choice of words.

`symbol: phrase | phrase`, continued on indented lines. In a phrase `[symbol]` is one of that symbol's phrases and
`{slot}` a fact about a track; a phrase is chosen only where all its slots are known, and no phrase with slots is used
inside another. Listeners say song; only the code says track. A slot may start with a vowel: no "a" before one.
"""

GRAMMAR = """

greeting: Hi there | Hello | Hey | Good evening | Hi | Hey there | Morning | Hello again

occasion: a long drive | cooking dinner | a lazy afternoon | the gym | a late night at my desk | friends coming over
    | cleaning the house | a train ride | winding down after work | a weekend away | a walk by the water | the office
    | a small party | reading in bed | painting the kitchen | a rainy evening | my morning run
    | breakfast on the balcony

opening: [greeting]! I am putting together music for [occasion].
    | [greeting], can you help me build a set for [occasion]?
    | [greeting]! I need company for [occasion], and you choose better than I do.
    | I am starting from zero here, and the plan is [occasion].
    | [greeting], I want to discover a few things for [occasion]. | Let's begin a fresh mix for [occasion], shall we?
    | [greeting]! I call this mix “{playlist}”, so help me fill it.
    | [greeting], I am working on a collection named “{playlist}”.
    | My mix “{playlist}” is still empty and I would love some ideas.
    | Time to fill “{playlist}”, the mix I made for [occasion].

want: I would like | I'd love to hear | I am in the mood for | I could use | give me | let's hear | please find me
    | I am after | please play me | I feel like hearing | show me | I'm hoping for | I fancy | next I want | line up
    | I am looking for | surprise me with | I'd go for

could: could you find me | can you play me | do you have | have you got | would you put on | any chance of
    | could we try | can I get | what about | do you know | could you dig up | is there | would you happen to have
    | can we hear | may I have | how about

thing: something | a song that is | music that stays | something rather | something properly | a tune that feels
    | a recording that is | something truly | a number that is | anything

near: around | about | close to | somewhere near | roughly | at

bpm: beats per minute | bpm | beats a minute

written: written in | set in | played in | that sits in | built on | based in

voice: a singer | someone | a voice | whoever sings | the vocalist

about: about | touching on | that speak of | dealing with | full of | that mention | circling around | telling of

piece: a song | a track | a tune | one | a recording | a number | music | anything

ask_audio: [thing] {pace}, [near] {bpm} [bpm] | [thing] {pace}, [written] {key} | [thing] {pace} and {shade}
    | [thing] {shade}, [near] {bpm} [bpm] | [piece] in {key} with {pulse} pulse
    | [piece] with {pulse} tempo, [near] {bpm} [bpm] | [piece] that moves at {pulse} pace in some {mode} key
    | [piece] whose harmony sounds {shade} and whose beat is {pace}
    | {shift} music than the last one, [near] {bpm} [bpm] | [piece] {shift} than what just played, [written] {key}
    | [thing] {shift}, with the mood of some {mode} key | [piece] where the drums or the strumming keep to {bpm} [bpm]
    | [piece] with a sound that is {pace}, [near] {bpm} [bpm] | [piece] with a tonality that comes across as {shade}
    | [piece] [written] {key}, whatever the tempo

ask_lyrics: [piece] with lyrics [about] {theme} and {second_theme} | [piece] where [voice] keeps returning to {theme}
    | [piece] with words [about] {theme}, maybe {second_theme} as well
    | [piece] whose verses bring up {theme}, {second_theme} and {third_theme}
    | [piece] in which [voice] sings of {theme} and {second_theme} | a lyric [about] {theme}
    | [piece] that tells a story with {theme} and {second_theme} in it
    | [piece] whose chorus or verse has the word “{theme}” in it
    | [piece] with lines [about] {theme}, {second_theme}, that sort of imagery
    | [piece] where the text plays with {theme} and {second_theme}
    | a song I half remember, [voice] went on about {theme} and {second_theme}
    | [piece] that paints {theme} next to {second_theme}

ask_metadata: [piece] by {artist} | [piece] by {artist} from the {decade} | [piece] from the album “{album}”
    | [piece] from “{album}” by {artist} | [piece] that {artist} put out in {year}
    | [piece] released in {year}, by {artist} if possible | more by {same_artist}
    | another one by {same_artist}, since that name came up already | [piece] from {artist}'s catalogue
    | [piece] off {artist}'s record “{album}” | [piece] from {year}, the year of “{album}”
    | [piece] from the {decade}, ideally by {artist} | [piece] of {same_artist} again, maybe from “{album}”
    | an album cut by {artist}, a deep one if possible

ask_semantic: some {style} | some {mood} {style} | {style} with {instrument} in it
    | {mood} {style} with plenty of {instrument} | [piece] that mixes {style} and {second_style}
    | [thing] {mood}, with {instrument} up front | [thing] {mood} in the way of {style}
    | [piece] with {instrument} leading the way | {style}, the {mood} kind
    | [piece] people would file under {style} or {second_style} | [piece] for a {mood} kind of hour | [thing] {mood}
    | [piece] led by {instrument}, leaning towards {style} | [piece] with a {mood} atmosphere and a touch of {style}

extra: Bonus points if it leans towards {style}. | Ideally it feels {mood} too. | Some {instrument} would be welcome.
    | Keep it [near] {bpm} [bpm] if you can. | It should come from the {decade}. | Make it rather {pace}, please.
    | A text with {theme} in it would be perfect. | I do not mind if it sounds a little {shade}.
    | Preferably {style}, if that helps you choose. | The {decade} would suit me well. | Let it be {pace} all the way.
    | Surprise me with everything else. | The rest is up to you. | I have {instrument} in mind for this part.
    | It can be {mood}, I am open to that.

aside: I trust your taste here. | Nothing too obvious, please. | I have plenty of time. | The volume is already up.
    | My neighbours will have to cope. | I am all ears. | No rush, take your pick.
    | It should fit what we have so far. | I promise to listen to the end. | That would round things off nicely.
    | It has been a long day. | Friends keep asking me what I listen to. | My headphones are on.
    | You have been doing well. | I might dance, I might not. | Something tells me you will know.
    | Let's see where this goes.

liked: Lovely, “{last_title}” was spot on. | {last_artist} never fails, thanks. | Great pick, keep going like that.
    | Yes, that one stays. | Oh, I had forgotten about {last_artist}. | Nice, saved it. | That hit the spot.
    | “{last_title}” is going straight into my favourites. | I could listen to that {last_style} all day.
    | Perfect, that {last_mood} feeling was what I needed. | Thank you, good choice. | Wonderful, I am humming along.
    | That was great, especially the {last_instrument}. | I like where this is heading. | Cool, added.
    | Not bad at all, {last_artist} surprised me. | The {last_pace} pace of that one suited me. | Brilliant.
    | I am still thinking of {earlier_artist} from before.
    | Between that and {earlier_artist}, this is turning out well. | “{earlier_title}” and now this, I am impressed.
    | Good, that goes well with “{earlier_title}” from earlier.

turned_down: Hmm, not that one. | No, “{last_title}” is not for me. | Skip this, please.
    | I am not feeling {dropped_artist} today. | That one does not fit, sorry.
    | I have heard “{last_title}” far too often. | Not quite what I meant. | Let's drop “{last_title}”. | Nah, next.
    | Sorry, that one leaves me cold. | I would rather not hear {dropped_artist} now.
    | That was too {dropped_pace} for my taste. | Less {dropped_style}, please, I need a change.
    | Too {dropped_shade} for me right now. | I skipped it after ten seconds. | Please take that one off again.
    | That {dropped_mood} mood is wrong for tonight. | We can do better than that.
    | Something else instead, I did not warm to it.

instead_want: Instead, [want] | Rather than that, [want] | As an alternative, [want] | To replace it, [want]
    | In its place, [want] | Swap it, [want]

instead_could: Instead, [could] | As an alternative, [could] | To replace it, [could] | In its place, [could]

agreed: Sure thing. | Gladly. | Of course. | Good idea. | With pleasure. | Got it. | Happy to. | Coming right up.
    | Certainly. | I like the way you think. | Nice direction. | Right away. | Here we go. | Absolutely.
    | I have just the thing. | Consider it done. | Great request. | That narrows it down nicely. | Noted.

conceded: No problem, we skip it. | Fair enough, that one is gone. | Sorry about that one.
    | Understood, let's change course. | Thanks for telling me, out it goes. | No worries, here is a replacement.
    | My mistake, let me try again. | All right, something different then. | Okay, scratch that one.
    | I hear you, moving on.

offer: Try | Here is | I would go with | Next up is | Have a listen to | Let me play you | This is
    | You might enjoy | My pick is | I suggest | Give a chance to | I am queuing | Listen to | Take

link: , because it | ; it | , since it | , as it | : it

answer_audio: moves along at [near] {bpm} [bpm] | keeps {pulse} pace throughout | is {pace} and [written] {key}
    | stays in {key} and sounds {shade} | has {pulse} beat and some {shade} colour | is {shift} than the one before
    | turns {shade} thanks to its {mode} key | ticks at {bpm} [bpm] and feels {pace}
    | sounds {shade} all the way through | is {pace} from the first bar on | runs [near] {bpm} [bpm]
    | is [written] {key} | runs [near] {bpm} [bpm] in {key} | brings {pulse} tempo of [near] {bpm} [bpm]

answer_lyrics: sings of {theme} and {second_theme} | has verses [about] {theme}
    | brings {theme} into its lyrics more than once | tells of {theme}, {second_theme} and {third_theme}
    | has words [about] {theme} and {second_theme} | puts {theme} right into the words
    | paints {theme} beside {second_theme} | lets {theme} run through the text | comes back to {theme} in its lines
    | is built on lines [about] {theme} and {second_theme}

answer_metadata: is from the album “{album}” | came out in {year} | is one to play twice
    | appeared in {year} on “{album}” | belongs to the {decade} | sits on the record “{album}”
    | shows {artist} in good form | is one of theirs that deserves a listen | keeps us with {same_artist}
    | dates from the {decade}, when “{album}” appeared | is a good way into that catalogue
    | was released by {artist} in {year}

answer_semantic: is {mood} {style} through and through | has {instrument} at its heart | is {style} with a {mood} side
    | blends {style} with {second_style} | feels {mood} from start to end | is what people call {style}
    | lets the {instrument} speak | sounds {mood}, with {instrument} carrying the tune
    | sits between {style} and {second_style} | is {style} to the bone | has that {mood} air about it

caption: In short: {caption}

closing: Let me know what you think. | Shall I stay in this direction? | Enjoy it. | Want another like it?
    | Tell me if it fits. | I hope it lands. | Does that come close? | Say the word and I change course.
    | What should come next? | It should sit well beside {last_artist}. | A nice step on from “{last_title}”.
    | Turn it up. | It also happens to be {style}. | You may notice the {instrument}.
    | It carries a {mood} mood as well. | It also dates from the {decade}. | There is a line on {theme} in it, too.
    | It stays rather {pace}, by the way. | Ready for the next one whenever you are. | I think it deserves a spot.

play: play | play me | put on | find me | recommend me | queue up | search for | start

query_AC: [piece] featuring {artist} | [piece] performed by {artist} | [piece] that {artist} performs
    | [piece] with {artist} in the line-up | [piece] credited to {artist} | [piece] recorded by {artist}
    | [piece] with {artist} as the main performer | a collaboration of {artist} and {guest}
    | [piece] where {guest} joins {artist} | [piece] featuring {guest} as a guest
    | [piece] on which {artist} and {guest} perform together

query_BM: “{title}” by {artist} | the song called “{title}” | {artist}'s “{title}” | the tune named “{title}”
    | {title} by {artist} | the one titled “{title}”, by {artist} | “{title}”, the one on “{album}”
    | the recording of “{title}” that {artist} made | “{title}” from {artist}'s album “{album}”

query_SC: [piece] where {instrument} carries the sound | [piece] with {instrument} in the foreground
    | [piece] with plenty of {instrument} in the arrangement | [piece] in which I can hear {instrument} clearly
    | [piece] with the sound of {instrument} | [piece] that sounds {timbre} | [piece] with that {timbre} sound
    | [piece] that has {timbre} production and {instrument} | [piece] whose timbre is {timbre}

query_RI: [piece] released in {year} | [piece] from {year} | [piece] from the {decade} | a release of {year}
    | [piece] that came out in {year} | [piece] put out in the {decade} | [piece] that was new in {year}
    | [piece] that first appeared in the {decade} | [piece] dating from {year} | [piece] whose release was in {year}

query_AB: [piece] by someone {origin} | [piece] from {origin} musicians | [piece] by {origin} artists
    | [piece] whose artist is {origin} | [piece] whose singer is {singer} | [piece] sung by {singer}
    | [piece] with {singer} at the microphone | [piece] by {origin} people with {singer} as the singer

query_TC: [piece] to play next to {artist} | [piece] that would go well with {artist} in my playlist
    | [piece] to put beside my {style} favourites | [piece] for my {occasion} playlist | [piece] to play for {occasion}
    | [piece] to go with the {style} in my playlist | [piece] for my friends, who are fans of {style}
    | [piece] to go together with other {style} in my playlist | [piece] that goes with {artist} in my playlist
    | [piece] like {artist} for the same playlist | [piece] similar to what I play by {artist}
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PACES = {
    80: ("slow", "slow-moving", "unhurried", "languid", "very relaxed", "drowsy", "leisurely"),
    105: ("laid-back", "easygoing", "relaxed", "moderately slow", "ambling", "loping"),
    122: ("mid-tempo", "steady", "even-paced", "medium-paced", "strolling", "moderate"),
    140: ("upbeat", "lively", "driving", "energetic", "brisk", "bouncy"),
    1000: ("fast", "racing", "high-energy", "rapid", "full-throttle", "breakneck"),
}
PULSES = {
    80: ("a slow", "a crawling", "an unhurried", "a patient"),
    105: ("a relaxed", "a laid-back", "an easy", "a loose"),
    122: ("a steady", "an even", "a medium", "a walking"),
    140: ("a brisk", "an upbeat", "a lively", "a driving"),
    1000: ("a fast", "a racing", "a rapid", "a galloping"),
}
DECADES = {1950: "fifties", 1960: "sixties", 1970: "seventies", 1980: "eighties", 1990: "nineties"}
SHADES = {
    "minor": ("moody", "brooding", "dark", "shadowy", "sombre", "wistful", "melancholic", "bittersweet"),
    "major": ("bright", "sunny", "warm", "cheerful", "hopeful", "radiant", "luminous", "light-hearted"),
}
FASTER = ("faster", "quicker", "livelier", "more energetic", "speedier")
SLOWER = ("slower", "calmer", "more relaxed", "less hurried", "gentler")

MOODS = _words(
    """
    happy sad calm angry romantic dreamy dark upbeat melancholy chill relaxing mellow aggressive intense sensual
    ethereal atmospheric gloomy haunting energetic uplifting peaceful sentimental nostalgic playful cheerful
    hypnotic sleepy soothing tender warm bittersweet joyful passionate epic quirky groovy cozy soft smooth sexy
    beautiful melancholic fun catchy moody lonely hopeful dramatic
    """
) | {"feel good"}
INSTRUMENTS = _words(
    """
    guitar guitars piano drums drum bass violin cello strings orchestra saxophone trumpet horns brass organ
    synthesizer synth synths flute harmonica banjo fiddle accordion harp ukulele mandolin turntables sampler
    sequencer percussion congas steel pads vocals keyboards clarinet sitar trombone
    """
)
# Too common in lyrics to be about anything.
IDLE_WORDS = _words(
    """
    about after again ain't aint always another around away back because been before being bout cause come comes
    coming could couldn't didn't does doesn't doing don't dont down each even ever every everything from gets
    getting give goes going gone gonna gotta have haven't having here hers hey i'll i've into isn't it's its
    just keep know knows let's like little look made make makes many maybe mine more most much must myself need
    never nothing oh-oh once only ooh other over really right said same says shall she's should since some
    somebody someone something still such sure take tell than that that's thats their them then there there's
    these they they're thing things think this those though through till took turn under until very wanna want
    wants wasn't well went were weren't what what's when where which while whoa whom whose will wish with
    without won't would wouldn't yeah yes you'd you'll you're you've your youre yours
    """
)
# Tags that tell how a recording sounds.
TIMBRES = _words(
    """
    acoustic electric electronic distorted fuzzy heavy noisy loud quiet soft lo-fi atmospheric spacious orchestral raw
    polished synthetic metallic warm crisp gritty muffled airy
    """
)
# Tags that tell what people play a track for, and how that is said.
OCCASIONS = {
    "party": "a party",
    "workout": "a workout",
    "running": "running",
    "driving": "driving",
    "road trip": "a road trip",
    "study": "studying",
    "sleep": "falling asleep",
    "wedding": "a wedding",
    "christmas": "Christmas",
    "halloween": "Halloween",
    "summer": "summer days",
    "dinner": "dinner",
    "yoga": "yoga",
    "meditation": "meditation",
    "karaoke": "karaoke",
}
ORIGINS = _words(
    """
    african american argentinian australian austrian belgian brazilian british canadian caribbean chilean chinese
    colombian cuban danish dutch english finnish french german greek icelandic indian irish israeli italian jamaican
    japanese korean mexican nigerian norwegian polish portuguese russian scottish senegalese spanish swedish swiss
    turkish ukrainian welsh
    """
)
SINGERS = {
    "female vocalist": "a woman",
    "female vocalists": "a woman",
    "female vocals": "a woman",
    "female": "a woman",
    "male vocalist": "a man",
    "male vocalists": "a man",
    "male vocals": "a man",
}
