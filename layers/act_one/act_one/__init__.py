"""Act-One expression transfer as a durable AWS services: the code that every function shares."""

import gc

# An import makes objects that stay: collecting cycles among them takes a tenth of a cold start. What
# is left of cycles between collections is small beside a function's memory.
gc.set_threshold(100_000, 20, 20)
