import csv
from pathlib import Path

import pytest

pytestmark = pytest.mark.network


def make_network() -> object:
    import keras

    image = keras.Input((4,))
    network = keras.Model(image, keras.layers.Dense(1)(image))
    rate = keras.optimizers.schedules.ExponentialDecay(0.25, 1, 1.0)
    network.compile(keras.optimizers.SGD(rate), "mse")
    return network


def test_tensorboard_shows_the_figures_of_every_epoch_in_one_file(tmp_path: Path) -> None:
    import tensorflow as tf

    from mudrock_cli.deeplab.training import TrainingLog

    log = TrainingLog(tmp_path, make_network(), [])
    log.write({"epoch": 1, "loss": 0.5, "validation_iou_mean": 0.75, "iou_silt": None})
    log.write({"epoch": 300, "loss": 0.125})
    log.close()
    found = {}
    for part in ("train", "validation"):
        (path,) = (tmp_path / "tensorboard" / part).iterdir()
        for record in tf.data.TFRecordDataset(str(path)):  # checks both checksums
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                found[part, value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    assert found == {
        ("train", "epoch_loss", 1): 0.5,
        ("train", "epoch_learning_rate", 1): 0.25,
        ("train", "epoch_loss", 300): 0.125,
        ("train", "epoch_learning_rate", 300): 0.25,
        ("validation", "epoch_iou_mean", 1): 0.75,
    }


def test_the_table_grows_and_takes_new_columns(tmp_path: Path) -> None:
    from mudrock_cli.deeplab.training import TrainingLog

    log = TrainingLog(tmp_path, make_network(), [{"epoch": 1, "loss": 2.0}])
    log.write({"epoch": 2, "loss": 1.0, "validation_loss": None})
    log.close()
    with (tmp_path / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["loss"] for row in rows] == ["2.0", "1.0"]
    assert rows[1]["validation_loss"] == ""
