from local.bench.cold_start import cold_starts
from local.bench.copies import copies

cold_starts()
print()
copies()
