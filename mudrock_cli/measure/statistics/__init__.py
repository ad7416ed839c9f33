"""What many objects tell: gradings, fabric, neighbours, and how sure that is."""
