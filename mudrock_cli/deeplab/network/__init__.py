"""The network in Keras: its layers, its weights, and the backend that runs it."""
