"""What runs beside the backend on a laptop: the local stack and the provider simulator."""
