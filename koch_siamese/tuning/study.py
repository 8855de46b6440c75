"""A search for hyperparameters: the runs of an Optuna study, one by one.

It needs the extra `search`.
"""

import json
import shutil
import warnings
from pathlib import Path

import filelock
import keras
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FixedTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from koch_siamese.data.sources import DataSource
from koch_siamese.errors import DivergedError, InputError
from koch_siamese.reporting import charts
from koch_siamese.reporting.figures import save_figure
from koch_siamese.runs.directory import Run
from koch_siamese.runs.flagfiles import format_flags, parse_flags
from koch_siamese.runs.results import write_result, write_text
from koch_siamese.runs.settings import Settings
from koch_siamese.training import builders
from koch_siamese.training.checkpoints import load_checkpoint
from koch_siamese.training.data import load_training, load_validation
from koch_siamese.training.loop import Training, train
from koch_siamese.training.relative_updates import measure_gradients
from koch_siamese.tuning.space import suggest_settings, to_point

STUDY = "koch_siamese"
HEARTBEAT_SECONDS = 10  # a process silent for twice as long counts as dead
OVER = (TrialState.COMPLETE, TrialState.PRUNED)
ENDINGS = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped early",
}
REPORT = "search.json"
RUN = "run"  # attribute: number of the directory in which a trial resumes


class Search:
    """A search in a directory of its own.

    A run is what Optuna calls a trial; each trains in a directory `run_NNN`.
    Runs are ranked by their best one-shot validation accuracy; a run below the
    median of the others at the same epoch is stopped early. A run that was
    interrupted resumes after its last epoch.

    Args:
        settings: those that are not searched, and the start of the search.
        workdir: the search's directory.
        source: the source of the characters.
        search_network: see `space.suggest_settings`.
        storage: the address of an Optuna storage; by default `search.db` in the
            directory.
        min_epochs: epochs before a run may be stopped early.

    Raises:
        InputError: the storage holds a search with other settings, or cannot
            be opened.
    """

    def __init__(
        self,
        settings: Settings,
        workdir: Path,
        source: DataSource,
        *,
        search_network: bool = False,
        storage: str | None = None,
        min_epochs: int = 1,
    ):
        """Opens the study, or begins it with the given settings."""
        self._settings, self._workdir, self._source = settings, workdir, source
        self._search_network, self._min_epochs = search_network, min_epochs
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats
        self._study = self._open(storage)
        with filelock.FileLock(self._workdir / ".lock"):
            self._restore()
        self._require_same_settings()
        self._gradients = self._measure_gradients()
        self._study.enqueue_trial(
            to_point(settings, search_network, self._gradients),
            skip_if_exists=True,
        )

    def _open(self, storage):
        try:
            self._workdir.mkdir(parents=True, exist_ok=True)
            database = optuna.storages.RDBStorage(
                storage or f"sqlite:///{self._workdir / 'search.db'}",
                heartbeat_interval=HEARTBEAT_SECONDS,
                heartbeat_stale_trial_callback=_enqueue_again,
            )
        except (OSError, ImportError, RuntimeError, SQLAlchemyError) as error:
            raise InputError(
                f"--storage={storage or self._workdir} cannot be opened "
                f"({error}): expected an address like sqlite:///search.db."
            ) from error
        return optuna.create_study(
            storage=database,
            study_name=STUDY,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=4, n_warmup_steps=self._min_epochs
            ),
        )

    def _restore(self):
        """Restores the runs of `search.json` if the storage is new.

        This resumes a search elsewhere with that file alone. Runs get new
        numbers.
        """
        path = self._workdir / REPORT
        if self._study.trials or not path.exists():
            return
        try:
            report = json.loads(path.read_text())
            for name in ("settings", "search_network", "gradients"):
                if name in report:
                    self._study.set_user_attr(name, report[name])
            settings = parse_flags(report["settings"])
            for run in report["runs"]:
                trial = FixedTrial(run["parameters"])
                suggest_settings(
                    trial,
                    settings,
                    report.get("search_network", False),
                    report.get("gradients", ()),
                )
                self._study.add_trial(
                    optuna.trial.create_trial(
                        state=TrialState.COMPLETE
                        if run["finished"]
                        else TrialState.PRUNED,
                        value=run["accuracy"],
                        params=trial.params,
                        distributions=trial.distributions,
                        user_attrs={name: run[name] for name in _STATE},
                    )
                )
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is not the report of a search ({error}): remove it."
            ) from error
        print(f"Continuing after the {len(report['runs'])} runs in {path}.")

    def _require_same_settings(self):
        asked = format_flags(self._settings)
        known = self._study.user_attrs.get("settings")
        if known is None:
            self._study.set_user_attr("settings", asked)
            self._study.set_user_attr("search_network", self._search_network)
        elif (
            parse_flags(known) != self._settings
            or self._study.user_attrs.get("search_network", False)
            != self._search_network
        ):
            was = set(known.splitlines()) - set(asked.splitlines())
            raise InputError(
                f"The storage of {self._workdir} holds a search with "
                f"{' '.join(sorted(was)) or 'another --search_network'}: "
                "repeat its flags, or give another --workdir."
            )

    def _measure_gradients(self):
        """Measures each layer's gradient, which converts rates to updates."""
        if not self._settings.relative_updates:
            return ()
        known = self._study.user_attrs.get("gradients")
        if known is None:
            keras.utils.set_random_seed(self._settings.seed)
            known = measure_gradients(
                self._settings,
                builders.build_model(self._settings),
                load_training(self._settings, self._source),
            )
            self._study.set_user_attr("gradients", known)
        return tuple(known)

    def run(self, num_runs: int):
        """Trains until there are `num_runs` runs, earlier ones included.

        Args:
            num_runs: runs that have finished or were stopped early.

        Raises:
            InputError: no run finished an epoch, or a file cannot be written.
        """
        if len(self._study.get_trials(states=OVER)) < num_runs:
            self._train(num_runs)
        if not self.describe_runs():
            raise InputError(
                "No run finished an epoch, as their losses were not finite: "
                "give another --workdir and more --num_runs."
            )
        self.write()

    def _train(self, num_runs):
        validation = load_validation(self._settings, self._source)
        self._study.optimize(
            lambda trial: self._measure(trial, validation),
            callbacks=[
                optuna.study.MaxTrialsCallback(num_runs, states=OVER),
                lambda study, trial: self._conclude(trial),
            ],
        )

    def _run(self, trial) -> Run:
        return Run(self._workdir / f"run_{_number(trial):03d}")

    def _measure(self, trial, validation) -> float:
        """Trains a run to its end, or until it is stopped early."""
        # Each trial has its own seed; otherwise parallel processes would
        # suggest the same values.
        self._study.sampler = optuna.samplers.TPESampler(
            seed=self._settings.seed + trial.number, n_startup_trials=6
        )
        settings = self._suggest(trial)
        run = self._run(trial)
        try:
            with run.lock():
                run.claim(settings)
                self._resume(trial, run, settings, validation)
        except DivergedError as error:
            raise optuna.TrialPruned(str(error)) from error
        except optuna.TrialPruned:
            raise
        except BaseException:
            _enqueue_again(self._study, trial)
            raise
        finally:
            state = _read_state(run)
            for name, value in state.items():
                trial.set_user_attr(name, value)
        return state["accuracy"]

    def _suggest(self, trial) -> Settings:
        return suggest_settings(
            trial, self._settings, self._search_network, self._gradients
        )

    def _resume(self, trial, run, settings, validation):
        """Trains a run from its last epoch on, and reports each epoch."""
        _, state = load_checkpoint(run) or (None, None)
        before = state["history"]["accuracy"] if state else []
        for epoch, accuracy in enumerate(before):
            trial.report(accuracy, epoch)

        def report(epoch, logs):
            trial.report(logs["one_shot_accuracy"], epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        keras.utils.clear_session()
        callback = keras.callbacks.LambdaCallback(on_epoch_end=report)
        training = Training(settings, run, self._source)
        train(training, validation, callbacks=[callback])

    def _conclude(self, trial):
        # The run will not be resumed, and optimizers are large.
        shutil.rmtree(self._run(trial).checkpoints, ignore_errors=True)
        runs = self.describe_runs()
        if not runs:
            return
        best = max(runs, key=lambda run: run["accuracy"])
        print(
            f"Run {_number(trial)} {ENDINGS[trial.state]}. Best so far: "
            f"{100 * best['accuracy']:.2f} % (run {best['run']})."
        )
        self.write()

    def describe_runs(self) -> list[dict[str, object]]:
        """Describes each run that is over and finished an epoch.

        Returns:
            A dict for each run: its number `run`; its best `accuracy`; whether
            it `finished` or was stopped early; `epochs`, `seconds` and
            `parameters`.
        """
        return [
            {
                "run": _number(trial),
                "finished": trial.state == TrialState.COMPLETE,
                **{name: trial.user_attrs[name] for name in _STATE},
                "parameters": trial.params,
            }
            for trial in self._study.get_trials(states=OVER)
            if "accuracy" in trial.user_attrs
        ]

    def write(self):
        """Writes `search.json`, `best.flags` and `search.png`."""
        runs = self.describe_runs()
        best = max(runs, key=lambda run: run["accuracy"])
        report = {"best": best["run"], "seed": self._settings.seed}
        report |= {
            "settings": format_flags(self._settings),
            "search_network": self._search_network,
            "runs": runs,
        }
        if self._gradients:
            report["gradients"] = self._gradients
        write_result(self._workdir / REPORT, report)
        settings = self._suggest(FixedTrial(best["parameters"]))
        write_text(
            self._workdir / "best.flags",
            f"# The best of {len(runs)} runs of a search, run {best['run']}: "
            f"{100 * best['accuracy']:.2f} % one-shot accuracy\n# on "
            f"{settings.validation_trials} validation trials, in "
            f"{best['epochs']} epochs.\n{format_flags(settings)}",
        )
        figure = charts.draw_search(runs, self._settings.relative_updates)
        save_figure(figure, self._workdir / "search.png")


_STATE = ("accuracy", "epochs", "seconds")


def _read_state(run: Run) -> dict[str, float]:
    """Reads accuracy, epochs and seconds of a run that finished an epoch."""
    _, state = load_checkpoint(run) or (None, None)
    if state is None:
        return {}
    values = (
        state["best_accuracy"],
        state["epoch"],
        sum(state["history"]["seconds"]),
    )
    return dict(zip(_STATE, values, strict=True))


def _enqueue_again(study, trial):
    """Lets an interrupted trial resume in the directory of its run."""
    study.enqueue_trial(trial.params, user_attrs={RUN: _number(trial)})


def _number(trial) -> int:
    return trial.user_attrs.get(RUN, trial.number)
