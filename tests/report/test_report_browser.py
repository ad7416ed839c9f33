"""The page in headless Chromium: it works as a person would use it, and says nothing wrong."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from mudrock_cli.cli import app
from mudrock_cli.files import hash_file

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="no chromium with its driver here"),
    # urllib3 and subprocess leave their pipes to the garbage collector when a driver quits.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync"
)
CARRY_ROWS = 100_000


@pytest.fixture(scope="module")
def open_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Return a function that starts a browser; all are closed at the end."""
    started = []

    def start(width: int = 1280, height: int = 900, *, scripts: bool = True) -> Any:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        profile = tmp_path_factory.mktemp("profile")
        for flag in (*FLAGS.split(), f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path=CHROMEDRIVER)
        browser = webdriver.Chrome(options=options, service=service)
        started.append(browser)
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        return browser

    yield start
    for browser in started:
        browser.quit()


@pytest.fixture(scope="module")
def desktop(open_browser: Callable[..., Any], field: Any) -> Any:
    browser = open_browser()
    load(browser, field.page)
    return browser


def load(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    wait(lambda: run(browser, "return document.documentElement.dataset.ready") == "yes")


def run(browser: Any, script: str, *arguments: Any) -> Any:
    return browser.execute_script(script, *arguments)


def wait(ready: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "the page did not get ready"
        time.sleep(0.05)


def find(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def point_at(browser: Any, viewer: Any, row: float, column: float, shape: tuple[int, int]) -> Any:
    """Move the pointer to a place of the micrograph, given in its pixels."""
    stage = viewer.find_element("css selector", ".stage")
    run(browser, "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", stage)
    wait(lambda: viewer.get_attribute("data-ready") == "yes")
    show_all(browser, viewer)
    x = round(stage.size["width"] * (column / shape[1] - 0.5))
    y = round(stage.size["height"] * (row / shape[0] - 0.5))
    return webdriver.ActionChains(browser, duration=0).move_to_element_with_offset(stage, x, y)


def show_all(browser: Any, viewer: Any) -> None:
    run(browser, "arguments[0].querySelector(\"[data-zoom='0']\").click()", viewer)


def box_of(browser: Any, viewer: Any) -> dict[str, float]:
    """Return where the picture is on the screen, zoom and all."""
    script = "return arguments[0].querySelector('.layers').getBoundingClientRect().toJSON()"
    box: dict[str, float] = run(browser, script, viewer)
    return box


def largest_pore(field: Any) -> dict[str, Any]:
    rows = pq.read_table(field.table).to_pylist()
    pores = [row for row in rows if row["image"] == "plain" and row["counted_as"] == "pore"]
    return max(pores, key=lambda row: row["area_um2"])


def viewer_of(browser: Any, name: str) -> Any:
    for section in browser.find_elements("css selector", "section.image"):
        if section.find_element("css selector", "h2").text == name:
            return section.find_element("css selector", ".viewer")
    raise AssertionError(name)


def test_loads_without_a_word_on_the_console(desktop: Any) -> None:
    assert desktop.get_log("browser") == []
    assert "mudrock report" in desktop.title


def test_hovering_an_object_reads_its_row(desktop: Any, field: Any) -> None:
    pore, viewer = largest_pore(field), viewer_of(desktop, "plain")
    place = pore["centroid_row_px"], pore["centroid_column_px"]
    point_at(desktop, viewer, *place, (300, 400)).perform()
    reading = viewer.find_element("css selector", ".reading").text
    assert f"pore {pore['label']}" in reading
    assert f"{pore['ecd_um']:.3g}" in reading
    drawn = "return arguments[0].getContext('2d').getImageData(0, 0, 400, 300).data.some((v) => v)"
    assert run(desktop, drawn, viewer.find_element("css selector", ".mark"))


def test_slider_changes_the_overlay(desktop: Any) -> None:
    viewer = viewer_of(desktop, "plain")
    slider = viewer.find_element("css selector", ".opacity")
    phases = viewer.find_element("css selector", ".phases")
    assert phases.value_of_css_property("opacity") == "0.5"
    slider.send_keys(webdriver.Keys.END)
    assert phases.value_of_css_property("opacity") == "1"
    slider.send_keys(webdriver.Keys.HOME)
    assert phases.value_of_css_property("opacity") == "0"


def test_zoom_buttons_pan_and_scale_bar(desktop: Any) -> None:
    viewer = viewer_of(desktop, "plain")
    show_all(desktop, viewer)
    before = box_of(desktop, viewer)["width"]
    text = viewer.find_element("css selector", ".bar").text
    button = viewer.find_element("css selector", "[data-zoom='1.5']")
    for _ in range(4):
        run(desktop, "arguments[0].click()", button)
    assert box_of(desktop, viewer)["width"] == pytest.approx(before * 1.5**4, rel=0.01)
    assert viewer.find_element("css selector", ".bar").text != text
    left = box_of(desktop, viewer)["x"]
    stage = viewer.find_element("css selector", ".stage")
    drag = webdriver.ActionChains(desktop, duration=20)
    drag.click_and_hold(stage).move_by_offset(-40, 0).release().perform()
    assert box_of(desktop, viewer)["x"] == pytest.approx(left - 40, abs=3)
    show_all(desktop, viewer)
    assert box_of(desktop, viewer)["width"] == pytest.approx(before, rel=0.01)


def test_clicking_an_object_picks_its_row_and_back(desktop: Any, field: Any) -> None:
    pore, viewer = largest_pore(field), viewer_of(desktop, "plain")
    place = pore["centroid_row_px"], pore["centroid_column_px"]
    point_at(desktop, viewer, *place, (300, 400)).click().perform()
    wait(lambda: desktop.find_elements("css selector", ".grid tr.picked"))
    cells = find(desktop, ".grid tr.picked").text
    assert f"plain {pore['label']} pore" in cells
    run(desktop, "document.querySelector('.grid tr.picked').click()")
    wait(lambda: "zoomed" in viewer.find_element("css selector", ".stage").get_attribute("class"))
    assert f"pore {pore['label']}" in viewer.find_element("css selector", ".reading").text


def test_table_sorts_and_filters(desktop: Any, field: Any) -> None:
    table = pq.read_table(field.table)
    truth = table["area_um2"].to_numpy()
    header = "[...document.querySelectorAll('.grid thead button')]"
    run(desktop, f"{header}.find((b) => b.textContent.startsWith('area')).click()")
    first = "return document.querySelector('.grid tbody tr[data-row]').cells[5].textContent"
    assert float(run(desktop, first)) == pytest.approx(truth.max(), rel=0.01)
    run(desktop, f"{header}.find((b) => b.textContent.startsWith('area')).click()")
    assert float(run(desktop, first)) == pytest.approx(truth.min(), rel=0.01)
    select = find(desktop, "select[name=counted_as]")
    select.send_keys("pore")
    pores = sum(word == "pore" for word in table["counted_as"].to_pylist())
    count = find(desktop, "output[name=count]")
    wait(lambda: count.text == f"{pores} of {len(table)} objects")
    low = find(desktop, "input[name=low]")
    low.send_keys("1.2")
    kept = (table["ecd_um"].to_numpy() >= 1.2) & (np.array(table["counted_as"]) == "pore")
    wait(lambda: count.text.startswith(f"{int(kept.sum())} of"), 5)
    assert desktop.get_log("browser") == []


def test_a_name_never_runs(desktop: Any) -> None:
    assert run(desktop, "return document.querySelectorAll('b[onclick]').length") == 0


def test_on_a_phone_nothing_sticks_out(open_browser: Callable[..., Any], field: Any) -> None:
    phone = open_browser(390, 844)
    load(phone, field.page)
    assert run(phone, "return document.documentElement.scrollWidth") == 390
    stages = phone.find_elements("css selector", ".stage")
    assert all(stage.size["width"] > 300 for stage in stages)
    assert phone.get_log("browser") == []


def test_without_scripts_everything_can_be_read(
    open_browser: Callable[..., Any], field: Any
) -> None:
    browser = open_browser(scripts=False)
    browser.get(field.page.as_uri())
    text = find(browser, "body").text
    assert "Porosity" in text
    assert "largest of" in text
    assert find(browser, ".stage img.grey").size["height"] > 100
    assert not find(browser, ".filters").is_displayed()
    assert not find(browser, ".tools").is_displayed()


def test_a_hundred_thousand_objects_stay_usable(
    open_browser: Callable[..., Any], field: Any, tmp_path: Path
) -> None:
    table = pq.read_table(field.table)
    rng = np.random.default_rng(0)
    many = table.take(pa.array(np.sort(rng.integers(0, len(table), CARRY_ROWS))))
    sizes = rng.lognormal(0, 0.5, CARRY_ROWS)
    many = many.set_column(many.schema.get_field_index("ecd_um"), table.field("ecd_um"), [sizes])
    pq.write_table(many, tmp_path / "report.parquet")
    summary = pq.read_table(field.folder / "report.summary.parquet")
    facts = json.loads(summary.schema.metadata[b"mudrock"])
    facts["instances_sha256"] = hash_file(tmp_path / "report.parquet")
    summary = summary.replace_schema_metadata({"mudrock": json.dumps(facts)})
    pq.write_table(summary, tmp_path / "report.summary.parquet")
    result = CliRunner().invoke(app, ["report", str(tmp_path / "report.parquet")])
    assert result.exit_code == 0, result.output
    browser = open_browser()
    load(browser, tmp_path / "report.html")
    assert "100,000 of 100,000" in find(browser, "output[name=count]").text
    assert run(browser, "return document.querySelectorAll('.grid tr').length") < 100
    spent = """
        const start = performance.now();
        document.querySelectorAll('.grid thead button')[4].click();
        const grid = document.querySelector('.grid');
        grid.scrollTop = grid.scrollHeight / 2;
        return performance.now() - start;
    """
    assert run(browser, spent) < 3000
    shown = "return document.querySelectorAll('.grid tbody tr[data-row]')[20].cells[4].textContent"
    wait(lambda: abs(float(run(browser, shown)) - float(np.median(sizes))) < 0.02, 5)
