"""Daily features of users and items, and the joins that read them (stage `features`)."""
