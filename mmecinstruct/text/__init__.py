"""Texts: normalisation, prices, names, language, personal data, profanity."""
