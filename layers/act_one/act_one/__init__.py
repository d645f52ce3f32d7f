"""Act-One expression transfer as a durable AWS service: the code that every function shares."""

import gc
import warnings

VERSION = "0.2.0-dev"
"""The release that this code is or becomes, in the form of semver.org (docs/upgrades.md)."""

# An import makes objects that stay: collecting cycles among them takes a tenth of a cold start. Not
# much rarer than this, as an error that holds a buffer is a cycle: `make fuzz` shows the peak.
gc.set_threshold(10_000, 10, 10)

# The layer has nothing that guesses the encoding of a text, because no text is guessed here.
warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")
