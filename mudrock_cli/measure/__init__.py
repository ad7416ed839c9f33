"""From masks to numbers: labelling, measures, summaries, scores."""
