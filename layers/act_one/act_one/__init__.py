"""Act-One expression transfer as a durable AWS services: the code that every function shares."""
