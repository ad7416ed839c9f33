"""Labelled micrographs: read, registered, divided, and cut into what a training sees."""
