"""The vocabularies by which prompts can be counted exactly."""

from typing import Literal

Tokenizer = Literal[
    "cl100k_base",
    "deepseek_v3",
    "gemma2",
    "gemma3",
    "glm4",
    "gpt-oss",
    "kimi_k2",
    "llama2",
    "llama3",
    "mistral_v1",
    "mistral_v2",
    "mistral_v3",
    "o200k_base",
    "phi4",
    "qwen2",
    "qwen3",
]
