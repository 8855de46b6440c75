"""What a trained model is used for: galleries, answers, exports."""
