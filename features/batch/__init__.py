"""Features of users and items by the day, and the joins that read them: stage `features`."""
