"""The paper's hyper-parameter search (section 3.2)."""
