"""What Lambda's environment says to everything that is imported there."""

import os

os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "ActOne")
