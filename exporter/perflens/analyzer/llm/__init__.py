"""Has a language model tell an incident in words: it sees numbers and pseudonyms, and what it says is checked against them."""
