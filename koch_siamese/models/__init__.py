"""The Keras objects: layers, embeddings, siamese models and their files."""
