import csv
import struct
from pathlib import Path

import pytest

from mudrock_cli.deeplab.training import EventFile
from mudrock_cli.errors import MudrockError


def read_records(path: Path) -> list[bytes]:
    """Read TFRecords as the format says, without the checksums."""
    content, records = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        records.append(content[12 : 12 + length])
        content = content[16 + length :]
    return records


def test_a_checksum_of_the_standard() -> None:
    from mudrock_cli.deeplab import training as event_file

    crc = 0xE3069283  # of "123456789", the check value of CRC-32C
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert event_file._checksum(b"123456789") == struct.pack("<I", masked)


def test_events_hold_the_scalars(tmp_path: Path) -> None:
    events = EventFile(tmp_path / "tensorboard")
    events.write(1, {"loss": 0.5, "iou": 0.25})
    events.write(300, {"loss": 0.125})
    (path,) = (tmp_path / "tensorboard").iterdir()
    records = read_records(path)
    assert len(records) == 3
    assert b"brain.Event:2" in records[0]
    assert b"\x0a\x04loss\x15" + struct.pack("<f", 0.5) in records[1]
    assert b"\x0a\x03iou\x15" + struct.pack("<f", 0.25) in records[1]
    assert b"\x10\xac\x02" in records[2]  # step 300


@pytest.mark.network
def test_tensorflow_reads_the_events(tmp_path: Path) -> None:
    import tensorflow as tf

    events = EventFile(tmp_path)
    events.write(7, {"loss": 0.5, "validation_iou_mean": 0.75})
    (path,) = tmp_path.iterdir()
    found = {
        value.tag: (event.step, value.simple_value)
        for record in tf.data.TFRecordDataset(str(path))  # checks both checksums
        for event in [tf.compat.v1.Event.FromString(record.numpy())]
        for value in event.summary.value
    }
    assert found == {"loss": (7, 0.5), "validation_iou_mean": (7, 0.75)}


def test_an_unwritable_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MudrockError, match="cannot be written"):
        EventFile(tmp_path / "file").write(1, {"loss": 1.0})


@pytest.mark.network
def test_the_table_grows_and_takes_new_columns(tmp_path: Path) -> None:
    from mudrock_cli.deeplab.training import TrainingLog

    log = TrainingLog(tmp_path, [{"epoch": 1, "loss": 2.0}])
    log.write({"epoch": 2, "loss": 1.0, "validation_loss": None})
    with (tmp_path / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["loss"] for row in rows] == ["2.0", "1.0"]
    assert rows[1]["validation_loss"] == ""
