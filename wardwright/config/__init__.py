"""The configuration: what the file may say, every problem with what it does say, and the frozen settings that come of it."""
