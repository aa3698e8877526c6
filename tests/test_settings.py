"""Every setting that README and guides name has a test of what it does."""
# ruff: noqa: E501 -- names of tests are sentences

import ast
import re
from pathlib import Path

import pytest

from base.settings import Settings
from flows.workspace import prepare
from serving.signing import signer
from tests.flows.conftest import small_checkout as small_checkout

#: Setting to the tests that would fail if it did nothing: file and test.
TESTED = {
    "RONDO_HOME": "serving/test_migrate.py::test_alembic_works_from_the_checkout_as_its_users_know_it",
    "RONDO_DATABASE_URL": "serving/test_servers.py::test_the_service_reacts_to_feedback_on_real_servers",
    "RONDO_REDIS_URL": "base/test_redis_url.py::test_a_redis_with_a_password_and_one_with_tls_hold_histories",
    "RONDO_RELEASES_URL": "serving/test_bento.py::test_a_bento_serves_from_a_clean_environment_and_follows_its_channel_to_s3",
    "RONDO_REMOTE_URL": "test_settings.py::test_the_dvc_remote_of_the_environment_is_that_of_the_workspace",
    "RONDO_REPEAT_MINUTES": "serving/test_service.py::test_the_environment_sets_the_channel_the_address_the_repeat_and_the_log_level",
    "RONDO_SECRET": "test_settings.py::test_replicas_with_the_same_secret_sign_alike",
    "RONDO_STAGE_TIME_LIMIT": "base/test_stage.py::test_a_stage_stops_at_its_time_limit",
    "RONDO_LOG_LEVEL": "serving/test_service.py::test_the_environment_sets_the_channel_the_address_the_repeat_and_the_log_level",
    "RONDO_CHANNEL": "serving/test_service.py::test_the_environment_sets_the_channel_the_address_the_repeat_and_the_log_level",
    "BENTOML_HOST": "serving/test_service.py::test_the_environment_sets_the_channel_the_address_the_repeat_and_the_log_level",
    "BENTOML_PORT": "serving/running.py::serving",
    "PREFECT_API_URL": "flows/test_deploy.py::test_deployments_run_through_a_real_worker",
    "AWS_ENDPOINT_URL": "serving/test_release_store.py::test_a_release_in_s3_is_published_once_listed_fetched_and_verified",
    "AWS_DEFAULT_REGION": "serving/test_release_store.py::test_a_release_in_s3_is_published_once_listed_fetched_and_verified",
    "AWS_ACCESS_KEY_ID": "serving/test_release_store.py::test_wrong_credentials_are_one_line_without_the_secret",
    "AWS_SECRET_ACCESS_KEY": "serving/test_release_store.py::test_wrong_credentials_are_one_line_without_the_secret",
    "MLFLOW_TRACKING_URI": "training/transformer/test_loggers.py::test_mlflow_keeps_its_runs_in_one_local_file",
    "WANDB_MODE": "training/transformer/test_loggers.py::test_weights_and_biases_keeps_a_run_of_its_own_for_each_and_stays_offline",
    "RONDO_TRAIN_ACCELERATOR": "training/transformer/test_fit.py::test_a_gpu_is_used_where_it_is_asked_for_or_said_to_be_missing",
    "RONDO_TRAIN_PRECISION": "training/transformer/test_config.py::test_run_options_come_from_the_environment",
    "RONDO_TRAIN_DEVICES": "training/transformer/test_distributed.py::test_the_loss_curve_is_that_of_one_process",
    "RONDO_TRAIN_STRATEGY": "training/transformer/test_distributed.py::test_the_loss_curve_is_that_of_one_process",
    "RONDO_TRAIN_NUM_NODES": "training/transformer/test_distributed.py::test_torchrun_on_two_nodes_trains_as_one_process",
    "RONDO_TRAIN_LOGGER": "training/transformer/test_loggers.py::test_none_is_no_logger",
}  # fmt: skip
NAMED = re.compile(r"\b((?:RONDO|PREFECT|AWS|MLFLOW|WANDB|BENTOML)_[A-Z_]*[A-Z])\b")


def named(checkout: Path) -> set[str]:
    texts = [checkout / "README.md", *(checkout / "docs" / "guides").glob("*.md")]
    return {name for text in texts for name in NAMED.findall(text.read_text())}


def test_every_setting_that_is_named_has_a_test(checkout: Path) -> None:
    assert named(checkout) <= set(TESTED)
    for setting, place in TESTED.items():
        path, test = place.split("::")
        file = checkout / "tests" / path
        functions = {n.name for n in ast.walk(ast.parse(file.read_text()))
                     if isinstance(n, ast.FunctionDef)}  # fmt: skip
        assert test in functions, f"{setting}: {place} is gone"


def test_the_dvc_remote_of_the_environment_is_that_of_the_workspace(
    small_checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RONDO_REMOTE_URL", "s3://bucket/dvc")
    place = prepare(small_checkout.parent / "place", small_checkout, Settings().remote)
    with place.repo() as repo:
        assert repo.cloud.get_remote().fs.protocol == "s3"
        assert repo.config["remote"]["store"]["url"] == "s3://bucket/dvc"


def test_replicas_with_the_same_secret_sign_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RONDO_SECRET", "one")
    first, second = (signer(Settings(home=tmp_path / name)) for name in "ab")
    assert second.verify(first.sign("request")) == "request"
    monkeypatch.setenv("RONDO_SECRET", "other")
    assert signer(Settings(home=tmp_path)).sign("request") != first.sign("request")


def test_minutes_of_repeats_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().repeat_minutes == 30.0
    monkeypatch.setenv("RONDO_REPEAT_MINUTES", "0")
    assert Settings().repeat_minutes == 0.0
    for wrong in ("-1", "nan", "soon"):
        monkeypatch.setenv("RONDO_REPEAT_MINUTES", wrong)
        with pytest.raises(ValueError, match="repeat_minutes"):
            Settings()


def test_state_that_others_may_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().shared == []
    monkeypatch.setenv("RONDO_RELEASES_URL", "s3://releases")
    monkeypatch.setenv("RONDO_REDIS_URL", "localhost:6379")
    assert Settings().shared == ["RONDO_REDIS_URL", "RONDO_RELEASES_URL"]
