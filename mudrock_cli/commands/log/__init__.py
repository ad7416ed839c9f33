"""``--log``: what a bug report needs, without what is private."""
