r"""The hyperparameter search of the paper (section 3.2).

    pip install 'koch-siamese[search]'
    python -m koch_siamese.search --flagfile=experiments/mnist_35px.flags \
        --workdir=runs/search --num_runs=12 --max_minutes=2

searches with Optuna, within the paper's ranges, for the learning rate,
momentum and L2 of each layer; with `--search_network`, also for filters,
kernel sizes and units. Runs are ranked by their best one-shot validation
accuracy; a run that lags behind is stopped. The same command resumes a search;
with a common `--storage`, several processes search together. A search writes
`best.flags`, `search.json` and `search.png`; it can be resumed from
`search.json` alone.
"""
