from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from mudrock_cli.deeplab.dataset import load_samples
from mudrock_cli.deeplab.recipe import DataRecipe
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.files import hash_file
from mudrock_cli.image.labels import encode_set, parse_values
from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.types import Phase, PixelSize

RECIPE = DataRecipe(nm_per_pixel=10.0)
TEN = PixelSize(10.0, "test")
KUMANO = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "kumano"


def write_pair(
    data: Path, name: str, shape: tuple[int, int] = (40, 60), nm: float | None = 10.0, seed: int = 0
) -> tuple[Path, Path]:
    rng = np.random.default_rng(seed)
    image, label = data / "images" / f"{name}.tif", data / "labels" / f"{name}.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    label.parent.mkdir(parents=True, exist_ok=True)
    grey = rng.integers(20, 230, shape).astype(np.uint8)
    if nm is None:
        tifffile.imwrite(image, grey)
    else:
        size = (1 / (nm / 1000), 1 / (nm / 1000))
        tifffile.imwrite(image, grey, imagej=True, resolution=size, metadata={"unit": "um"})
    Image.fromarray(rng.integers(0, 3, shape).astype(np.uint8)).save(label)
    return image, label


def test_pairs_come_in_order_with_hashes(tmp_path: Path) -> None:
    for seed, name in enumerate(("b", "a", "sub/c")):
        image, label = write_pair(tmp_path, name, seed=seed)
    samples = load_samples(tmp_path, RECIPE).samples
    assert [sample.name for sample in samples] == ["a", "b", "sub/c"]
    assert samples[2].files == (hash_file(image), hash_file(label))
    assert np.array_equal(samples[2].grey, tifffile.imread(image))
    assert np.array_equal(samples[2].labels, np.asarray(Image.open(label)))


def test_labels_of_other_values_are_read_as_told(tmp_path: Path) -> None:
    _, label = write_pair(tmp_path, "a")
    pores = np.asarray(Image.open(label)) == 2
    Image.fromarray(np.where(pores, np.uint8(255), np.uint8(0))).save(label)
    table = parse_values("0=clay+silt,255=pore")
    found = load_samples(tmp_path, RECIPE, values=table)
    solid = encode_set((Phase.CLAY, Phase.SILT))
    assert np.array_equal(found.samples[0].labels, np.where(pores, 2, solid))
    assert found.samples[0].is_partial
    assert found.remarks == ()  # clay and silt are there, if not told apart
    with pytest.raises(MudrockError, match="the labels show clay alone") as told:
        load_samples(tmp_path, RECIPE)
    assert "--values 0=clay+silt,255=pore" in str(told.value.hint)
    Image.fromarray(np.where(pores, np.uint8(7), np.uint8(0))).save(label)
    with pytest.raises(MudrockError, match=r"a\.png: no phase mask, it holds 7 .*say what each"):
        load_samples(tmp_path, RECIPE, values=table)
    with pytest.raises(MudrockError, match=r"a\.png: no phase mask, it holds 7 .*--values tells"):
        load_samples(tmp_path, RECIPE)
    Image.fromarray(np.full((40, 60), 0, np.uint8)).save(label)
    with pytest.raises(MudrockError, match="the labels show clay or silt alone"):
        load_samples(tmp_path, RECIPE, values=table)
    rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[..., 0] = 200
    Image.fromarray(rgb).save(label)
    with pytest.raises(MudrockError, match="colours, no values"):
        load_samples(tmp_path, RECIPE, values=table)


def test_binary_masks_lie_beside_their_micrographs(tmp_path: Path) -> None:
    image, label = write_pair(tmp_path / "data", "a")
    pores = np.asarray(Image.open(label)) == 2
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.where(pores, np.uint8(7), np.uint8(3))).save(tmp_path / "masks" / "a.png")
    table = parse_values("3=clay+silt,7=pore")
    found = load_samples(tmp_path / "masks", RECIPE, micrographs=image.parent, values=table)
    assert (found.samples[0].labels == 2).sum() == pores.sum()


def test_everything_is_brought_to_one_pixel_size(tmp_path: Path) -> None:
    _, label = write_pair(tmp_path, "coarse", (30, 40), nm=20.0)
    sample = load_samples(tmp_path, RECIPE).samples[0]
    assert sample.grey.shape == sample.labels.shape == (60, 80)
    enlarged = np.asarray(Image.open(label)).repeat(2, 0).repeat(2, 1)
    assert np.array_equal(sample.labels, enlarged)  # nearest neighbour: no new value
    assert sample.frame is not None
    assert np.array_equal(sample.frame.restore(sample.labels), np.asarray(Image.open(label)))
    overridden = load_samples(tmp_path, RECIPE, TEN).samples[0]
    assert overridden.grey.shape == (30, 40)


def test_copied_rows_and_columns_are_not_learned_from(tmp_path: Path) -> None:
    image, label = write_pair(tmp_path, "a", nm=8.0)
    grey, phases = tifffile.imread(image), np.asarray(Image.open(label))
    copies = [np.arange(5 * n // 4) * 4 // 5 for n in grey.shape]
    size = (125, 125)
    large = grey[copies[0]][:, copies[1]]
    tifffile.imwrite(image, large, imagej=True, resolution=size, metadata={"unit": "um"})
    enlarged = phases[copies[0]][:, copies[1]]
    Image.fromarray(enlarged).save(label)
    sample = load_samples(tmp_path, RECIPE).samples[0]
    assert np.array_equal(sample.grey, grey)
    assert np.array_equal(sample.labels, phases)
    assert sample.frame is not None
    assert sample.frame.pixel_size.nm == 8
    assert sample.micrograph(10.05).pixel_size == sample.pixel_size
    assert sample.pixel_size is not None
    assert sample.pixel_size.nm == pytest.approx(10, rel=0.01)
    assert np.array_equal(sample.frame.restore(sample.labels), enlarged)


def test_the_voc_layout_counts_what_its_lists_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("JPEGImages", "SegmentationClassRaw", "ImageSets"):
        (tmp_path / folder).mkdir()
    for name in ("11_1_a", "11_1_b", "12_1_a"):
        Image.fromarray(rng.integers(0, 255, (40, 50)).astype(np.uint8)).save(
            tmp_path / "JPEGImages" / f"{name}.jpg"
        )
        Image.fromarray(rng.integers(0, 3, (40, 50)).astype(np.uint8)).save(
            tmp_path / "SegmentationClassRaw" / f"{name}.png"
        )
    (tmp_path / "ImageSets" / "train.txt").write_text("11_1_a\n", "utf-8")
    (tmp_path / "ImageSets" / "val.txt").write_text("12_1_a\n\n", "utf-8")
    found = load_samples(tmp_path, RECIPE, TEN)
    assert [(s.name, s.source) for s in found.samples] == [("11_1_a", "11"), ("12_1_a", "12")]


def test_masks_of_mudrock_find_their_micrograph_by_content(tmp_path: Path) -> None:
    image, _ = write_pair(tmp_path / "elsewhere", "a")
    micrograph = tmp_path / "data" / "renamed.tif"
    micrograph.parent.mkdir()
    micrograph.write_bytes(image.read_bytes())
    phases = np.random.default_rng(1).integers(0, 3, (40, 60)).astype(np.uint8)
    told = {"input": {"name": "a", "sha256": hash_file(image)}}
    (tmp_path / "data" / "masks").mkdir()
    write_mask(tmp_path / "data" / "masks" / "a.tif", PhaseMask.from_array("a", phases, TEN, told))
    sample = load_samples(tmp_path / "data", RECIPE).samples[0]
    assert sample.name == "masks/a"
    assert np.array_equal(sample.labels, phases)


@pytest.mark.parametrize("told", [["x"], "x", None, {"sha256": ["x"]}, {"sha256": None}, 7])
def test_a_mask_that_tells_its_input_wrongly_has_none(tmp_path: Path, told: object) -> None:
    write_pair(tmp_path / "elsewhere", "a")
    (tmp_path / "data").mkdir()
    phases = np.zeros((40, 60), np.uint8)
    mask = PhaseMask.from_array("a", phases, TEN, {"input": told})
    write_mask(tmp_path / "data" / "a.tif", mask)
    with pytest.raises(MudrockError, match=r"a\.tif: no image of this name or content"):
        load_samples(tmp_path / "data", RECIPE)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    write_pair(tmp_path, "good")
    write_pair(tmp_path, "unscaled", nm=None)
    write_pair(tmp_path, "coarse", nm=1000.0)
    image, _ = write_pair(tmp_path, "lonely")
    image.unlink()
    _, label = write_pair(tmp_path, "small")
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(label)
    _, label = write_pair(tmp_path, "picture")
    Image.fromarray(np.arange(2400, dtype=np.uint8).reshape(40, 60)).save(label)
    image, _ = write_pair(tmp_path, "broken")
    image.write_bytes(image.read_bytes()[:200])
    _, label = write_pair(tmp_path, "void")
    Image.fromarray(np.full((40, 60), 255, np.uint8)).save(label)
    with pytest.raises(MudrockError) as caught:
        load_samples(tmp_path, RECIPE)
    lines = caught.value.message.splitlines()
    assert lines[0] == f"{tmp_path}: 7 problems"
    for name, reason in [
        ("broken.tif", ""),
        ("coarse.tif", "1000 nm per pixel, the recipe is for 10 nm"),
        ("lonely.png", "no image of this name"),
        ("picture.png", "no phase mask"),
        ("small.png", "20 × 20 pixels, its image 40 × 60"),
        ("unscaled.tif", "no pixel size in the file"),
        ("void.png", "no pixel of the specimen is labelled"),
    ]:
        assert any(name in line and reason in line for line in lines[1:]), lines


def test_a_pixel_size_in_place_of_that_of_a_file_is_told(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", nm=12.0)
    write_pair(tmp_path, "b")
    write_pair(tmp_path, "c", nm=None)
    found = load_samples(tmp_path, RECIPE, PixelSize(10, "--pixel-size"))
    assert {sample.pixel_size.nm for sample in found.samples} == {10}
    told = [remark for remark in found.remarks if "in place of" in remark]
    assert told == ["--pixel-size 10 nm is taken in place of the pixel size of a (12 nm)"]


def test_what_is_odd_is_remarked(tmp_path: Path) -> None:
    _, label = write_pair(tmp_path, "a")
    image, other = write_pair(tmp_path, "unlabelled")
    other.unlink()
    Image.fromarray(np.tile(np.uint8([0, 1]), (40, 30))).save(label)
    remarks = load_samples(tmp_path, RECIPE).remarks
    assert f"{image}: has no label and is not used" in remarks
    assert [remark for remark in remarks if "no label shows" in remark] == [
        "no label shows pore: nothing is learned of it"
    ]
    Image.fromarray(np.ones((40, 60), np.uint8)).save(label)
    with pytest.raises(MudrockError, match="the labels show silt alone"):
        load_samples(tmp_path, RECIPE)


@pytest.mark.parametrize("folder", ["missing", "empty", "images_only"])
def test_no_pairs_is_a_usage_error(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    write_pair(tmp_path / "images_only", "a")[1].unlink()
    with pytest.raises(UsageError):
        load_samples(tmp_path / folder, RECIPE)


def test_a_data_bar_is_left_out(tmp_path: Path) -> None:
    image, _ = write_pair(tmp_path, "a", (200, 150))
    grey = tifffile.imread(image)
    grey[170:] = 0
    grey[178:190, 20:50] = 255
    tifffile.imwrite(image, grey, imagej=True, resolution=(100, 100), metadata={"unit": "um"})
    sample = load_samples(tmp_path, RECIPE).samples[0]
    assert sample.grey.shape == sample.labels.shape == (170, 150)


@pytest.mark.skipif(not KUMANO.is_dir(), reason="needs ../shared/data/kumano")
def test_the_real_labels_load_and_the_drifting_one_is_moved_back() -> None:
    found = load_samples(KUMANO, DataRecipe(register=True))
    assert len(found.samples) == 6
    moved = [sample for sample in found.samples if sample.as_given is not None]
    assert [sample.name for sample in moved] == ["kumano_17"]
    assert any("kumano_17: labels lay up to" in remark for remark in found.remarks)
    plain = load_samples(KUMANO, DataRecipe()).samples
    assert np.array_equal(plain[5].labels, moved[0].as_given)
    assert (moved[0].labels == Phase.VOID).sum() > (plain[5].labels == Phase.VOID).sum()


def test_masks_that_nobody_corrected_teach_nothing(tmp_path: Path) -> None:
    """A user corrects two masks of a folder; the rest is what the model thinks already."""
    masks = tmp_path / "masks"
    masks.mkdir()
    for seed, name in enumerate("abcd"):
        image, _ = write_pair(tmp_path / "elsewhere", name, seed=seed)
        phases = np.random.default_rng(seed).integers(0, 3, (40, 60)).astype(np.uint8)
        shares = np.bincount(phases.ravel(), minlength=3) / phases.size
        told = {
            "method": "segment",
            "input": {"name": name, "sha256": hash_file(image)},
            "results": {
                "specimen_px": phases.size,
                "clay_fraction": shares[0],
                "silt_fraction": shares[1],
                "pore_fraction": shares[2],
            },
        }
        if name == "b":  # painted in place, by a program that keeps the description
            phases[:9] = 1
        write_mask(masks / f"{name}.tif", PhaseMask.from_array(name, phases, TEN, told))
    corrected = np.full((40, 60), 255, np.uint8)
    corrected[:30] = np.random.default_rng(9).integers(0, 3, (30, 60))
    Image.fromarray(corrected).save(masks / "c.png")  # saved beside it
    found = load_samples(masks, RECIPE, micrographs=tmp_path / "elsewhere" / "images")
    assert [sample.name for sample in found.samples] == ["b", "c"]
    assert np.array_equal(found.samples[1].labels, corrected)
    assert any("a, d: the mask still is the model's" in remark for remark in found.remarks)


def test_a_mask_gives_its_pixel_size_to_a_micrograph_without(tmp_path: Path) -> None:
    image, _ = write_pair(tmp_path / "elsewhere", "a", nm=None)
    phases = np.random.default_rng(1).integers(0, 3, (40, 60)).astype(np.uint8)
    told = {"input": {"name": "a", "sha256": hash_file(image)}}
    data = tmp_path / "data"
    data.mkdir()
    write_mask(data / "a.tif", PhaseMask.from_array("a", phases, PixelSize(20.0, "told"), told))
    sample = load_samples(data, RECIPE, micrographs=image.parent).samples[0]
    assert sample.grey.shape == (80, 120)


def test_a_corrected_label_takes_the_place_of_the_mask_beside_it(tmp_path: Path) -> None:
    _, label = write_pair(tmp_path, "a")
    phases = np.asarray(Image.open(label))
    written = PhaseMask.from_array("a", np.zeros_like(phases), TEN, {"software": "mudrock"})
    write_mask(label.with_suffix(".tif"), written)
    assert np.array_equal(load_samples(tmp_path, RECIPE).samples[0].labels, phases)
