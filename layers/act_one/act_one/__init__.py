"""Act-One expression transfer as a durable AWS backend: the code that every function shares."""
