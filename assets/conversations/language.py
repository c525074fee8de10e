"""Whether texts are English, by words that English has and its neighbours have not, and the other way about.

Talk is full of such words. Queries may be keywords alone, of which nothing is known: they are foreign only where words
say so. Left out: languages that share no everyday word with Western Europe's; in talk they lack the English ones.
"""

import re
from collections.abc import Sequence

ENGLISH_SHARE = 0.1  # at least, of a conversation's words; people's have 0.16 and more (CPCD)
FEWEST_FOREIGN = 3  # fewer are names
# Not "was", "so", "an", "in", "to", "for", "of", "is": other languages have them too.
ENGLISH_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        about after again anything because been before but can cant could did didnt does doesnt dont each every
        everything feel feels find from get gets give great have hear heard here how id if it its ive just keep
        last let lets like listen little love made make makes many maybe more most much my need never new next
        nothing now one other our out please really right same should show since slower some someone something
        song songs sorry sound sounding sounds than thank thanks that thats the their them then there
        these they thing things this those though time tracks try tune very want wants were weve what when where
        which while who whose why will with without words would yeah yes you youd your youre
        """,
    )
)
# Of Germanic and Romance languages; not "de", "la", "el", "die", "van", which are in many names, nor English words.
FOREIGN_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        aan aber af algo alla als am anche ao aqui aquí att até au auch auf aus aux av avec avoir bara beaucoup
        beim bien bij bin bis bitte canción canzone canção ce cette chanson che chi ci com comme como con cosa
        così cuando dal dalla dan dans das dass degli del della delle den depois der des det deze di dich dig
        dir dit doch donde dos ecco een efter ein eine einem einen einer ele ella elle eller er erg esa ese est
        esta este está et etwas eu fait foi fra från för förra für ga ganz geen gerne gli graag habe haben han
        har heb heeft het hier hoe hun hvad hvor ich iets ihr ihre ik ikke il ils inte io isso ist isto ja jag
        je jeg jetzt jij kan kann kein keine kun les leur lidt lied litt lo loro lui låt låten ma maar mais meer
        mehr mein mer mere meu mi mich mig mijn minha mir mit moet moi molto mon muito musik muy mycket más même
        naar nach nada nas ne nel nella nicht noch noe noen nog nogen noget non nos nous num numa nummer nur não
        något når och också oder og også ook os ou où par para pas pela pelo perché pero peu più poi por porque
        pour på qu qualcosa que quella quello quelque quero questa questo qui quiero sa sangen schon se sehr sei
        sein sem ser ses sich sie sin sind ska skal sobre som sono sont su sua suo sur sus también também tem
        tengo tiene till todo tout tra très tu uit um uma un una und une uno uns var vara veel veux vil vill
        ville você voici vom von voor vor vorrei voudrais vous være waar warum wat weil wel wenn wie wil wir
        wird ya ze zijn zo zu zum zur être över über
        """,
    )
)


def is_english(spoken: Sequence[str], *, is_talk: bool) -> bool:
    """Whether words (`resources.title_leaks.words`) are English: those of talk, else of queries, keywords maybe."""
    english = sum(word in ENGLISH_WORDS for word in spoken)
    foreign = sum(word in FOREIGN_WORDS for word in spoken)
    if foreign >= FEWEST_FOREIGN and foreign > english:
        return False
    return not is_talk or english >= ENGLISH_SHARE * len(spoken)
