"""Act-One expression transfer as a durable AWS service: the code that every function shares."""

import gc
import warnings

# An import makes objects that stay: collecting cycles among them takes a tenth of a cold start. The
# cycles that are left between collections are small beside a function's memory.
gc.set_threshold(100_000, 20, 20)

# The layer has nothing that guesses the encoding of a text, because no text is guessed here.
warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")
