"""The words used in descriptions of items: topics and filler."""

from typing import Final

_TOPICS: Final = """
hiking: trail boots summit ridge backpack tent compass valley campfire canyon hut map
cooking: skillet herb broth knife oven saffron dough spice stew pantry whisk ladle
astronomy: telescope comet nebula orbit eclipse planet star lens galaxy meteor lunar solar
gardening: seed trowel orchard bloom pruner compost fern soil tulip hedge greenhouse moss
music: vinyl guitar chord tempo drum piano melody amplifier jazz string choir synth
cycling: saddle pedal gravel chain spoke handlebar sprint helmet tyre derailleur crank fork
history: empire castle archive dynasty relic museum siege crown scroll treaty knight ruin
painting: canvas brush easel pigment portrait gouache palette sketch varnish fresco ink hue
sailing: anchor keel harbour mast rudder tide rope regatta deck buoy lagoon spinnaker
puzzles: jigsaw riddle maze cipher tile domino logic sudoku knot labyrinth clue token
coffee: espresso roast grinder filter crema bean kettle latte barista mug aroma press
robotics: servo sensor circuit motor chassis solder gripper drone battery firmware relay gear
"""

_ADJECTIVES: Final = """
amber bold bright calm classic compact crisp curious deep early fine gentle golden grand hidden
honest little lucid modern northern pocket quiet rapid royal rustic silver simple southern
steady vivid wild winter
"""

_FILLER: Final = """
made for everyday weekend gift season edition beginners experts family home travel light strong
new original series guide set collection handmade reliable favourite
"""

#: Twelve words for each topic, by its name.
TOPICS: Final[dict[str, tuple[str, ...]]] = {
    name: tuple(words.split())
    for name, words in (line.split(": ") for line in _TOPICS.strip().splitlines())
}
ADJECTIVES: Final[tuple[str, ...]] = tuple(_ADJECTIVES.split())
FILLER: Final[tuple[str, ...]] = tuple(_FILLER.split())
