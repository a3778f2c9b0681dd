"""Text normalisation for English voices: written tokens to words, by a tokenizer, a classifier and verbalisers."""

from mythicd.text.english.normalization.normalizer import Replacement as Replacement
from mythicd.text.english.normalization.normalizer import normalize as normalize
