"""Published weights are scored on the data that they were trained on, and on no other."""

import json

import pytest

from evlib.data import tasks
from evlib.data.encode import encode
from evlib.paper.runner import copy_exported
from evlib.training.checkpoint import EXPORTED


@pytest.mark.parametrize(("same", "scored"), [(True, True), (False, True), (False, False)])
def test_published_weights_are_taken_for_the_data_they_were_trained_on(data, make_run, tmp_path, same, scored):
    lines, run = [], make_run("sst2").rename(tmp_path / "sst2")
    (tmp_path / "published" / "runs").mkdir(parents=True)
    run = run.rename(tmp_path / "published" / "runs" / "sst2")
    (run / "model.safetensors").rename(run / EXPORTED)
    config = json.loads((run / "config.json").read_text())
    store = encode(tasks.get("sst2"), data, log=lines.append)
    config["store"] = store.summary() | ({} if same else {"examples": "other"})
    (run / "config.json").write_text(json.dumps(config))
    for name in ("env.json", "log.csv", *(["metrics.json"] if scored else [])):
        (run / name).touch()
    copy_exported(tmp_path / "published", tmp_path / "results", data, lines.append)
    assert (tmp_path / "results" / "runs" / "sst2" / EXPORTED).exists() == same
    assert any("trained here" in line for line in lines) == (scored and not same)  # a run without scores is no row
