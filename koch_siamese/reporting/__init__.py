"""Reports for people: figures, text, and tables in documents."""
