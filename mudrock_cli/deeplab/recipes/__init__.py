"""Every hyper-parameter of a model: read, checked, changed; and the recipes that ship."""
