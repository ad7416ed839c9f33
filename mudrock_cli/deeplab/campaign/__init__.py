"""From what a user wants trained to a model that was judged and calibrated."""
