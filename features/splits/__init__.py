"""The log cut into windows and questions: stage `split`."""
