"""What a training is told and what it leaves: settings, files, results."""
