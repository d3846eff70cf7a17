"""Write ``tiny.csv``: eight intents heard in a kitchen, 30 short sentences each, from templates written for this test."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

# each intent: sentence templates, and what may stand in their braces
TEMPLATES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "start_timer": (
        ("start a timer for {}", "count down {}", "set the timer to {}", "{} on the timer, please", "Wake me in {}!"),
        ("5 minutes", "an hour", "ten seconds", "half an hour", "20 min", "two minutes"),
    ),
    "stop_timer": (
        ("stop the {}", "turn the {} off", "cancel my {}", "no more {}, thanks", "please end the {} now"),
        ("timer", "alarm", "countdown", "egg timer", "ringing", "beeping"),
    ),
    "time_left": (
        (
            "how long until the {} is done",
            "when will the {} be ready?",
            "minutes left for the {}",
            "is the {} nearly finished",
            "time left: {}",
        ),
        ("rice", "pasta", "cake", "roast", "bread", "soup"),
    ),
    "convert_units": (
        ("how many grams are {}", "convert {} to millilitres", "what is {} in ounces", "{} in metric?", "Tell me {} in cups"),
        ("two cups", "3 tablespoons", "a pint", "half a pound", "one teaspoon", "4 oz"),
    ),
    "find_recipe": (
        (
            "find a recipe with {}",
            "what can I cook with {}?",
            "dinner ideas using {}",
            "show me dishes made from {}",
            "something tasty with {}",
        ),
        ("potatoes", "leftover rice", "chickpeas", "aubergine", "eggs", "salmon"),
    ),
    "shopping_list": (
        ("add {} to the shopping list", "we are out of {}", "put {} on my list", "remember to buy {}", "I need to get {}"),
        ("flour", "butter", "olive oil", "onions", "milk", "black pepper"),
    ),
    "oven": (
        ("heat the oven to {}", "set the oven at {}", "oven: {}", "bring the oven down to {}", "preheat to {} please"),
        ("180 degrees", "200 C", "gas mark 6", "350 F", "150 degrees", "220 celsius"),
    ),
    "small_talk": (
        ("{}, kitchen", "{} again", "well, {}", "{}!!", "oh {} my friend"),
        ("hello", "good morning", "thank you", "how are you", "goodbye", "nice to see you"),
    ),
}


def rows() -> list[tuple[str, str]]:
    """Return (text, label) pairs, the labels taking turns."""
    sentences = {
        label: [t.format(word) for word, t in itertools.product(words, templates)]
        for label, (templates, words) in TEMPLATES.items()
    }
    return [
        (text, label) for turn in zip(*sentences.values(), strict=True) for text, label in zip(turn, sentences, strict=True)
    ]


def main() -> None:
    """Write the file beside this script."""
    with Path(__file__).with_name("tiny.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("text", "label"), *rows()])


if __name__ == "__main__":
    main()
