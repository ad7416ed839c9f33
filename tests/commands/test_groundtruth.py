import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from phantom import Phantom, make_phantom
from PIL import Image
from typer.testing import CliRunner, Result

from mudrock_cli.classical import workflow
from mudrock_cli.classical.recipe import WorkflowRecipe
from mudrock_cli.cli import app
from mudrock_cli.errors import ExitCode
from mudrock_cli.image.mask import create_mask, open_mask
from mudrock_cli.image.types import Phase, palette

KUMANO = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "kumano"


def groundtruth(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["groundtruth", *map(str, arguments)], env={"COLUMNS": "80"})


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(3, (480, 520))


@pytest.fixture
def folder(tmp_path: Path, phantom: Phantom) -> Path:
    """Two images in two folders, no pixel size inside."""
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    Image.fromarray(phantom.grey).save(images / "a.png")
    Image.fromarray(phantom.grey[::-1].copy()).save(images / "deep" / "b.tif")
    return images


def test_masks_tell_how_they_were_made(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "masks"
    result = groundtruth(folder, "--out", out, "--pixel-size", "10nm")
    assert result.exit_code == ExitCode.DONE, result.output
    for name in ("a.tif", "deep/b.tif"):
        mask = open_mask(out / name)
        assert mask.shape == (480, 520)
        assert mask.pixel_size is not None
        assert (mask.pixel_size.nm, mask.pixel_size.source) == (10, "--pixel-size")
        assert mask.provenance["method"] == "groundtruth"
        assert mask.provenance["recipe"] == {
            "name": "groundtruth",
            "sha256": WorkflowRecipe().digest,
        }
        phases = mask.phases()
        assert np.isin(phases, [Phase.CLAY, Phase.SILT, Phase.PORE]).all()
        results = mask.provenance["results"]
        for phase in ("pore", "silt", "clay"):
            assert results[f"{phase}_fraction"] == np.mean(phases == Phase[phase.upper()])
    lines = result.stdout.splitlines()
    assert " ".join(lines[0].split()) == "image nm/px pore % silt % clay % s status"
    assert max(map(len, lines[:4])) <= 80


def test_an_image_without_pixel_size_is_refused_and_the_batch_goes_on(
    folder: Path, tmp_path: Path, phantom: Phantom
) -> None:
    tifffile.imwrite(
        folder / "sized.tif",
        phantom.grey,
        ome=True,
        metadata={"axes": "YX", "PhysicalSizeX": 0.01, "PhysicalSizeXUnit": "µm"},
    )
    result = groundtruth(folder, "--out", tmp_path / "masks")
    assert result.exit_code == ExitCode.SOME_FAILED
    errors = [line for line in result.stderr.splitlines() if line.startswith("error")]
    assert len(errors) == 2
    assert "a.png: no pixel size" in errors[0]
    assert "--pixel-size 10nm" in errors[0]
    assert [path.name for path in (tmp_path / "masks").rglob("*.tif")] == ["sized.tif"]


def test_a_band_is_low_chosen_high_in_table_and_mask(folder: Path, tmp_path: Path) -> None:
    words = (folder / "a.png", "--out", tmp_path, "--pixel-size", "10nm", "--band")
    line = json.loads(groundtruth(*words, "--json").stdout)
    provenance = open_mask(tmp_path / "a.tif").provenance
    assert line["band"] == provenance["results"]["band"]
    assert provenance["options"] == {"band": True}
    for phase in ("pore", "silt", "clay"):
        spread = line["band"][f"{phase}_fraction"]
        assert spread["low"] <= spread["chosen"] <= spread["high"]
        assert spread["chosen"] == line[f"{phase}_fraction"]
    pores = line["band"]["pore_fraction"]
    assert pores["low"] < pores["chosen"] < pores["high"]
    table = groundtruth(*words).stdout.splitlines()
    assert " ".join(table[0].split()) == "image nm/px pore % low–high silt % low–high s status"
    assert f"{100 * pores['low']:.1f}–{100 * pores['high']:.1f}" in table[1]
    assert len(table[1]) <= 80


def test_finished_masks_are_kept_until_something_changes(folder: Path, tmp_path: Path) -> None:
    def status(*options: str | Path) -> str:
        words = (folder / "a.png", "--out", tmp_path / "m", "--json", "--pixel-size", "10nm")
        result = groundtruth(*words, *options)
        assert result.exit_code == ExitCode.DONE, result.output
        return str(json.loads(result.stdout)["status"])

    mine = tmp_path / "mine.toml"
    mine.write_text("[pore]\ndarkness = 0.3\n")
    assert status() == "done"
    assert status() == "skipped"
    assert status("--band") == "done"
    assert status() == "done"
    assert status("--recipe", mine) == "done"
    assert status("--recipe", mine) == "skipped"
    mine.write_text("# a comment changes nothing\n[pore]\ndarkness = 0.30\n")
    assert status("--recipe", mine) == "skipped"
    mine.write_text("[pore]\ndarkness = 0.31\n")
    assert status("--recipe", mine) == "done"
    assert status("--recipe", mine, "--force") == "done"


def test_recipes_that_are_packaged_find_different_pores(folder: Path, tmp_path: Path) -> None:
    found = {}
    for recipe in ("groundtruth", "exact", "threshold"):
        words = (folder / "a.png", "--out", tmp_path / recipe, "--pixel-size", "10nm", "--json")
        found[recipe] = json.loads(groundtruth(*words, "--recipe", recipe).stdout)["pore_fraction"]
    assert len(set(found.values())) == 3
    assert all(0.02 < fraction < 0.3 for fraction in found.values())


def test_exact_outlines_are_those_of_the_exact_recipe(folder: Path, tmp_path: Path) -> None:
    words = (folder / "a.png", "--pixel-size", "10nm", "--out")
    masks = []
    for name, options in (("a", ("--outlines", "exact")), ("b", ("--recipe", "exact"))):
        result = groundtruth(*words, tmp_path / name, *options)
        assert result.exit_code == ExitCode.DONE, result.output
        assert "outlines: exact" in result.stdout
        masks.append(open_mask(tmp_path / name / "a.tif"))
        assert masks[-1].provenance["outlines"] == "exact"
    assert np.array_equal(*(mask.phases() for mask in masks))
    result = groundtruth(*words, tmp_path / "c")
    assert "outlines: as published labels draw them" in " ".join(result.stdout.split())
    assert open_mask(tmp_path / "c" / "a.tif").provenance["outlines"] == "labels"
    result = groundtruth(*words, tmp_path / "d", "--recipe", "threshold", "--outlines", "exact")
    assert result.exit_code == ExitCode.USAGE
    assert "the recipe threshold draws other ones" in result.stderr


@pytest.mark.parametrize("recipe", ["groundtruth", "exact"])
def test_masks_that_do_not_tell_their_outlines_are_kept(
    folder: Path, tmp_path: Path, recipe: str
) -> None:
    """Version 0.1 wrote no word of them."""
    words = (folder / "a.png", "--out", tmp_path, "--pixel-size", "10nm", "--recipe", recipe)
    assert groundtruth(*words).exit_code == ExitCode.DONE
    mask = open_mask(tmp_path / "a.tif")
    phases, told = mask.phases(), {k: v for k, v in mask.provenance.items() if k != "outlines"}
    with create_mask(tmp_path / "a.tif", mask.shape, mask.pixel_size, told) as writer:
        writer.write_rows(phases)
    assert json.loads(groundtruth(*words, "--json").stdout)["status"] == "skipped"


def test_overlay_and_contact_sheet(folder: Path, tmp_path: Path) -> None:
    words = (folder / "a.png", "--out", tmp_path, "--pixel-size", "10nm")
    assert groundtruth(*words, "--save", "overlay,steps").exit_code == ExitCode.DONE
    with Image.open(tmp_path / "a.overlay.png") as overlay:
        assert overlay.size == (520, 480)
    with Image.open(tmp_path / "a.steps.png") as picture:
        sheet = np.asarray(picture)
    assert sheet.shape[1] > 3 * 520
    assert sheet.shape[0] > 3 * 480
    # eight panels, and a ninth place that stays white
    assert (sheet[-480:, -520:] == 255).all()
    assert not (sheet[-480:, :520] == 255).all()
    groundtruth(*words, "--force")
    assert not (tmp_path / "a.steps.png").exists()


def test_fields_and_pixels_that_cannot_show_the_recipe_are_warned_of(
    folder: Path, tmp_path: Path
) -> None:
    fine = groundtruth(folder / "a.png", "--out", tmp_path / "fine", "--pixel-size", "5nm")
    assert "the field of 2.6 x 2.4 µm hardly holds a grain of 1.9 µm" in fine.stderr
    coarse = groundtruth(folder / "a.png", "--out", tmp_path / "coarse", "--pixel-size", "60nm")
    assert "pixels of 60 nm do not show pores of 90 nm" in coarse.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--recipe", "absent.toml"), "absent.toml: no recipe of this name"),
        (("--save", "confidence"), "cannot save confidence"),
        (("--pixel-size", "ten"), "cannot read the length"),
    ],
)
def test_wrong_usage_is_said_before_any_work(
    folder: Path, tmp_path: Path, options: tuple[str, str], message: str
) -> None:
    result = groundtruth(folder, "--out", tmp_path / "m", *options)
    assert result.exit_code == ExitCode.USAGE
    assert message in result.stderr
    assert not (tmp_path / "m").exists()


def test_one_grey_fails_by_name(tmp_path: Path) -> None:
    Image.fromarray(np.full((64, 64), 90, np.uint8)).save(tmp_path / "flat.png")
    out = tmp_path / "m"
    result = groundtruth(tmp_path / "flat.png", "--out", out, "--pixel-size", "10nm")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "flat.png" in result.stderr
    assert not list(out.glob("*.tif"))


def test_copied_rows_and_columns_change_nothing_but_the_size(
    folder: Path, tmp_path: Path, phantom: Phantom
) -> None:
    copies = [np.arange(5 * n // 4) * 4 // 5 for n in phantom.grey.shape]
    Image.fromarray(phantom.grey[copies[0]][:, copies[1]]).save(folder / "large.png")
    out = tmp_path / "masks"
    for name, nm in (("a", "10nm"), ("large", "8nm")):
        words = (folder / f"{name}.png", "--out", out, "--pixel-size", nm)
        assert groundtruth(*words, "--save", "steps", "--band").exit_code == ExitCode.DONE
    small, large = (open_mask(out / f"{name}.tif") for name in ("a", "large"))
    assert np.array_equal(large.phases(), small.phases()[copies[0]][:, copies[1]])
    assert large.pixel_size is not None
    assert large.pixel_size.nm == 8
    results = large.provenance["results"]
    assert results["specimen_px"] == large.phases().size
    band = results["band"]["pore_fraction"]
    assert band["low"] < band["chosen"] == results["pore_fraction"] < band["high"]
    assert (out / "large.steps.png").is_file()


def test_a_mask_corrected_by_hand_comes_back(folder: Path, tmp_path: Path) -> None:
    words = (folder / "a.png", "--out", tmp_path, "--pixel-size", "10nm")
    assert groundtruth(*words).exit_code == ExitCode.DONE
    phases = open_mask(tmp_path / "a.tif").phases().copy()
    phases[100:150, 200:260] = Phase.SILT  # a grain that was overlooked
    Image.fromarray(palette()[phases]).save(tmp_path / "gimp.png")
    tifffile.imwrite(tmp_path / "napari.tif", phases)
    for name in ("gimp.png", "napari.tif"):
        assert np.array_equal(open_mask(tmp_path / name).phases(), phases)


@pytest.mark.skipif(not KUMANO.is_dir(), reason="../shared/data is not there")
def test_published_labels_are_reproduced() -> None:
    from mudrock_cli.classical.workflow import label_phases
    from mudrock_cli.image.micrograph import open_micrograph

    found = label_phases(open_micrograph(KUMANO / "images" / "kumano_15.tif"), WorkflowRecipe())
    labels = open_mask(KUMANO / "labels" / "kumano_15.png").phases()
    known = labels != Phase.VOID
    for phase, least in ((Phase.CLAY, 0.90), (Phase.SILT, 0.83), (Phase.PORE, 0.70)):
        ours, theirs = (found == phase) & known, labels == phase
        assert (ours & theirs).sum() / (ours | theirs).sum() > least


def test_a_nonsense_pixel_size_costs_one_image(folder: Path, tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (60, 90), dtype=np.uint8)
    tifffile.imwrite(folder / "metres.tif", grey, ome=True, metadata={"PhysicalSizeX": 1e-8})
    tifffile.imwrite(folder / "fine.tif", grey, ome=True, metadata={"PhysicalSizeX": 1e-5})
    done = groundtruth(folder, "--out", tmp_path / "masks")
    assert done.exit_code == ExitCode.SOME_FAILED, done.output
    told = " ".join(done.stderr.split())
    assert "metres.tif: no pixel size" in told
    assert "fine.tif: 0.01 nm per pixel makes a field of 0.9 nm" in told


def test_memory_that_opencv_lacks_costs_one_image(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        cv2.copyMakeBorder(np.zeros((9, 9), np.uint8), *[1 << 19] * 4, cv2.BORDER_REFLECT)

    monkeypatch.setattr(workflow, "Workflow", fail)
    done = groundtruth(folder, "--out", tmp_path / "masks", "--pixel-size", "10nm")
    assert done.exit_code == ExitCode.SOME_FAILED, done.output
    assert "not enough memory" in done.stderr
