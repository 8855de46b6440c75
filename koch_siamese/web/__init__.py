"""The demo page: visitors' sessions, what they see, and an API of programs."""
