"""What people look at: overlays, figures, the HTML page."""
