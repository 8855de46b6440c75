"""What people read: figures, text, and the tables of the documents."""
