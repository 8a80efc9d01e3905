"""Text processing: normalisation, prices, names, language, personal data, profanity."""
