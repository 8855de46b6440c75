"""Pages: the sheet of paper, its ink, and the symbols in reading order."""
