"""The report in a real browser: opened from a file, offline, used by mouse and keyboard, at any width."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import report_support
from report_support import BROKEN, HOSTILE, TAG

selenium = pytest.importorskip("selenium", reason="needs selenium")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from actprobe.explorer.page import report  # noqa: E402

PATIENCE_SECONDS = 60  # until a browser on a busy machine has done what it does in milliseconds
UNKNOWN = "\u2013"
KINDS = ("neurons", "maps", "inversion", "inversion-2", "evaluation", "attribution", "excitation")


class Page:
    """A report in the browser."""

    def __init__(self, driver: webdriver.Chrome, index: Path) -> None:
        self.driver, self.url = driver, index.as_uri()

    def open(self, fragment: str = "") -> None:
        self.driver.get("about:blank")
        self.driver.get(self.url + fragment)
        self.wait(lambda: self.find("main > section:not([hidden])"))

    def wait(self, condition: Callable[[], object]) -> object:
        from selenium.common.exceptions import StaleElementReferenceException

        wait = WebDriverWait(self.driver, PATIENCE_SECONDS, 0.05, [StaleElementReferenceException])
        return wait.until(lambda _: condition())

    def find(self, css: str) -> WebElement | None:
        found = self.all(css)
        return found[0] if found else None

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css: str) -> WebElement:
        self.wait(lambda: self.find(css))
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def texts(self, css: str) -> list[str]:
        found: list[str] = self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent.trim())", css
        )
        return found

    def script(self, text: str, *values: object) -> Any:
        return self.driver.execute_script(text, *values)

    def set(self, css: str, value: object) -> None:
        """Set a control, as a hand does."""
        self.script(
            "arguments[0].value = arguments[1];"
            "arguments[0].dispatchEvent(new Event('input', {bubbles: true}));"
            "arguments[0].dispatchEvent(new Event('change', {bubbles: true}))",
            self.one(css),
            value,
        )

    def shown(self) -> str:
        return str(self.one("main > section:not([hidden])").get_attribute("id"))

    def comes_to(self, part: str) -> None:
        self.wait(lambda: self.shown() == part)

    def column(self, part: str, number: int) -> list[str]:
        return self.texts(f"#{part} .rows .row > div:nth-child({number})")


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--mute-audio", "--autoplay-policy=no-user-gesture-required", "--window-size=1200,900",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(chromedriver))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def runs(driver: Any, binary: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return report_support.make_runs(tmp_path_factory.mktemp("runs"), binary)


@pytest.fixture(scope="module")
def index(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(*(runs[kind] for kind in KINDS), output_dir=tmp_path_factory.mktemp("report")).path


@pytest.fixture
def page(driver: Any, index: Path) -> Iterator[Page]:
    """The report of all runs; nothing goes wrong unseen, and nothing is asked of a network."""
    driver.get_log("browser"), driver.get_log("performance")
    yield Page(driver, index)
    assert driver.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []


def test_opens_from_a_file_and_has_a_part_for_each_kind_of_run(page: Page) -> None:
    page.open()
    assert page.texts("nav a") == [
        "Overview", "Neurons", "Activation maps", "Layers", "Feature inversion", "Attribution",
    ]  # fmt: skip
    assert page.shown() == "overview"
    assert page.script("return typeof window.Plotly") == "undefined"  # the overview opens without it
    for part in ("neurons", "maps", "layers", "inversion", "attribution"):
        page.one(f"nav a[href='#part={part}']").click()
        page.comes_to(part)
    alert = page.find(".alert")
    assert alert is not None
    assert alert.is_displayed() is False


def test_the_overview_opens_with_pictures_each_one_click_from_its_part(page: Page) -> None:
    page.open()
    assert page.texts("#overview .findings h2") == [
        "Neurons", "Activation maps", "Feature inversion", "Attribution",
    ]  # fmt: skip
    parts = "document.querySelectorAll('.analysed, .findings, .provenance')"
    assert page.script(f"return [...{parts}].map((each) => each.className)") == [
        "analysed",
        "findings",
        "provenance",
    ]
    assert page.script("return document.querySelector('.provenance').open") is False
    pictures = {
        "neurons": "svg .dots", "maps": "svg image", "inversion": ".strip img", "attribution": ".strip img",
    }  # fmt: skip
    for part, drawn in pictures.items():
        page.open()
        assert page.find(f"#overview .{part} > a {drawn}")
        assert page.texts(f"#overview .{part} .finding")[0].endswith(".")
        page.one(f"#overview .{part} > a").click()
        page.comes_to(part)
    loaded = "return [...document.querySelectorAll('#overview img')].every((x) => x.naturalWidth)"
    page.open()
    page.wait(lambda: page.script(loaded))
    for part in ("neurons", "maps"):
        page.open()
        page.one(f"#overview .{part} .note a").click()
        page.one(f"#{part} .detail h3")


@pytest.mark.parametrize(
    ("kind", "tabs"),
    [
        ("neurons", ["Overview", "Neurons", "Layers"]),
        ("maps", ["Overview", "Activation maps", "Layers"]),
        ("inversion", ["Overview", "Layers", "Feature inversion"]),
        ("attribution", ["Overview", "Layers", "Attribution"]),
        ("excitation", ["Overview", "Layers", "Attribution"]),
    ],
)
def test_a_part_without_runs_is_absent(
    driver: Any, runs: dict[str, Path], tmp_path: Path, kind: str, tabs: list[Any]
) -> None:
    page = Page(driver, report(runs[kind], output_dir=tmp_path).path)
    page.open()
    assert page.texts("nav a") == tabs
    assert driver.get_log("browser") == []


def test_two_runs_of_a_kind_are_told_apart(driver: Any, runs: dict[str, Path], tmp_path: Path) -> None:
    """By the name of their corpus, and by what links lead to."""
    twice = [runs[kind] for kind in ("neurons", "evaluation") * 2]
    page = Page(driver, report(*twice, output_dir=tmp_path).path)
    page.open("#part=layers")
    links = page.all("#layers .found a")
    (link, *_) = [each for each in links if "&run=1" in str(each.get_attribute("href"))]
    assert link.text.endswith("(in/manifest.csv)")
    link.click()
    page.wait(lambda: page.find("#neurons .detail h3"))
    assert page.one("#neurons [name=run]").get_attribute("value") == "1"
    page.open("#part=inversion")
    page.wait(lambda: sum("mean excerpt" in text for text in page.texts("#inversion .nre .legendtext")) == 2)
    shown = page.texts("#inversion .comparison tr")
    baselines = ("zero", "mean excerpt", "excerpt level", "excerpt spectrum")
    assert sum(text.startswith(baselines) for text in shown) == 4
    assert driver.get_log("browser") == []


def test_sorting_follows_the_column_and_unknown_values_come_last(page: Page) -> None:
    page.open("#part=neurons")
    header = "#neurons .row.head > div:nth-child(5) button"
    page.one(header).click()
    page.wait(
        lambda: page.one("#neurons .row.head > div:nth-child(5)").get_attribute("aria-sort") == "descending"
    )
    falling = [float(text) for text in page.column("neurons", 5) if text != UNKNOWN]
    assert falling == sorted(falling, reverse=True)
    page.one(header).click()
    rising = [float(text) for text in page.column("neurons", 5) if text != UNKNOWN]
    assert rising == sorted(rising)
    assert rising[0] < falling[0]


def test_filters_narrow_the_table_and_say_how_far(page: Page) -> None:
    page.open("#part=neurons")
    page.one("#neurons .rows .row")
    assert page.one("#neurons .count").text == "256 of 256 rows"  # (64 + 64) neurons by 2 features
    page.set("#neurons [name=layer]", "1")
    assert page.one("#neurons .count").text == "128 of 256 rows"
    assert set(page.column("neurons", 1)) == {"fc8"}
    page.set("#neurons [name=search]", "7 loudness")
    assert page.column("neurons", 2) == ["7"]
    page.set("#neurons [name=search]", "")
    page.set("#neurons [name=least]", "0.9")
    strong = [abs(float(text)) for text in page.column("neurons", 5)]
    assert min(strong, default=1) >= 0.9
    page.set("#neurons [name=search]", "nothing like it")
    assert page.texts("#neurons .rows .none") == ["Nothing fits the filter."]


def test_a_click_opens_the_neuron_with_its_plots_and_playlist(page: Page) -> None:
    page.open("#part=neurons")
    first = page.one("#neurons .rows .row")
    layer, neuron = (page.column("neurons", i)[0] for i in (1, 2))
    first.click()
    page.wait(lambda: page.find("#neurons .detail h3"))
    assert page.texts("#neurons .detail h3") == [f"svd · {layer} · neuron {neuron}"]
    assert f"#neuron=svd/{layer}/{neuron}&feature=" in page.driver.current_url
    page.wait(lambda: len(page.all("#neurons .detail .main-svg")) >= 3)
    assert page.texts("#neurons .detail .xtitle")[0] == "Pearson's r"
    assert len(page.all("#neurons .detail .playlist")) == 2
    assert "n = 6" in page.texts("#neurons .detail .facts")[0]


def test_an_address_opens_a_neuron_a_map_a_layer_and_an_excerpt(page: Page) -> None:
    page.open("#neuron=svd/fc8/3&feature=loudness")
    page.wait(lambda: page.texts("#neurons .detail h3") == ["svd · fc8 · neuron 3"])
    page.open("#map=svd/conv1/5")
    page.wait(lambda: page.texts("#maps .detail h3") == ["svd · conv1 · channel 5"])
    page.open("#layer=svd/conv5")
    page.wait(lambda: page.script("return document.activeElement.id") == "layer=svd/conv5")
    page.open("#part=inversion")
    page.set("#inversion [name=excerpt]", "1")
    page.wait(lambda: "#excerpt=svd/" in page.driver.current_url)
    fragment = page.driver.current_url.split("#", 1)[1]
    page.open()
    page.open(f"#{fragment}")
    page.wait(lambda: page.one("#inversion [name=excerpt]").get_attribute("value") == "1")


@pytest.mark.parametrize(
    "fragment",
    [
        "#neuron=svd/fc8/999",
        "#map=svd/conv9/1",
        "#layer=none/at/all",
        "#excerpt=nowhere",
        "#neuron=",
        "#part=x%zz",
    ],
)
def test_an_address_of_nothing_is_said_and_breaks_nothing(page: Page, fragment: str) -> None:
    page.open(fragment)
    if fragment.startswith("#part"):
        assert page.shown() == "overview"
        return
    page.wait(lambda: page.one(".alert").is_displayed())
    page.one("nav a[href='#part=layers']").click()
    page.wait(lambda: not page.one(".alert").is_displayed())


def test_a_playlist_can_be_heard_one_at_a_time(page: Page) -> None:
    page.open("#part=neurons")
    page.one("#neurons .rows .row").click()
    page.wait(lambda: len(page.all("#neurons audio")) >= 2)
    first, second = page.all("#neurons audio")[:2]
    page.script("arguments[0].play()", first)
    page.wait(lambda: page.script("return arguments[0].currentTime", first) > 0.05)
    page.script("arguments[0].play()", second)
    page.wait(lambda: page.script("return arguments[0].currentTime", second) > 0.05)
    assert page.script("return arguments[0].paused", first)


def test_keys_alone_do(page: Page) -> None:
    page.open()
    body = page.one("body")
    body.send_keys("2")
    page.wait(lambda: page.shown() == "neurons" and page.find("#neurons .rows .row"))
    body.send_keys("/")
    search = page.one("#neurons [name=search]")
    page.wait(lambda: page.driver.switch_to.active_element == search)
    search.send_keys("fc8")
    page.wait(lambda: page.one("#neurons .count").text == "128 of 256 rows")
    grid = page.one("#neurons .view")
    grid.send_keys(Keys.ARROW_DOWN)
    grid.send_keys(Keys.ARROW_DOWN)
    wanted = page.column("neurons", 2)[2]
    assert (
        page.script("return document.querySelector('#neurons .row.current > div:nth-child(2)').textContent")
        == wanted
    )
    grid.send_keys(Keys.ENTER)
    page.wait(lambda: page.texts("#neurons .detail h3") == [f"svd · fc8 · neuron {wanted}"])
    assert page.script("return document.activeElement.tagName") == "H3"
    grid.send_keys(Keys.END)
    page.wait(lambda: page.script("return arguments[0].scrollTop", grid) > 1000)


def test_nothing_is_wider_than_a_phone(page: Page) -> None:
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        for fragment in ("", "#neuron=svd/fc8/3", "#map=svd/conv1/5", "#part=layers", "#part=inversion"):
            page.open(fragment)
            if fragment.startswith("#neuron"):
                page.wait(lambda: len(page.all("#neurons .detail .main-svg")) >= 3)
            if fragment.endswith("inversion"):
                page.wait(lambda: page.find("#inversion canvas"))
            assert page.script("return document.documentElement.scrollWidth") <= 360, fragment
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_hostile_names_and_tags_are_text(page: Page) -> None:
    page.open()
    assert BROKEN in page.texts("#overview bdi")
    assert any(TAG in text for text in page.texts("#overview .finding"))
    page.open("#part=neurons")
    page.one("#neurons .rows .row")
    assert TAG in page.texts("#neurons [name=feature] option")
    page.set("#neurons [name=feature]", "1")
    page.one("#neurons .rows .row").click()
    page.wait(lambda: len(page.all("#neurons .detail .main-svg")) >= 3)
    assert set(page.texts("#neurons .playlist .name")) <= set(HOSTILE)
    assert len(set(page.texts("#neurons .playlist .name"))) >= 5
    assert TAG.split(">")[1].split("<")[0] in page.texts("#neurons .detail .plot:not(.strip) .xtitle")[0]
    page.open("#part=maps")
    page.wait(lambda: page.find("#maps .card"))
    assert set(page.texts("#maps .card > .facts")) <= set(HOSTILE)
    page.open("#part=inversion")
    page.wait(lambda: page.find("#inversion canvas"))
    assert page.texts("#inversion [name=excerpt] option")[0] == f"{HOSTILE[0]} at 0.20 s"
    assert (
        page.script(
            "return document.querySelectorAll('main b, main i, main img[src=x], main [onclick]').length"
        )
        == 0
    )


def test_matches_are_thinned_by_distance_and_agreement(page: Page) -> None:
    page.open("#part=maps")
    page.wait(lambda: page.find("#maps .gallery .card"))
    assert len(page.all("#maps .gallery .card:first-child figure")) == 2  # one a feature
    lines = "[...document.querySelectorAll('#maps .gallery line')]"
    visible = f"return {lines}.filter((x) => x.style.display === '').length"
    everything = page.script("return document.querySelectorAll('#maps .gallery line').length")
    assert everything > 0
    assert page.script(visible) == everything
    distances = sorted(page.script(f"return {lines}.map((x) => Number(x.dataset.distance))"))
    half = distances[len(distances) // 2]
    page.set("#maps [name=distance]", half)
    reached = float(str(page.one("#maps [name=distance]").get_attribute("value")))
    assert page.script(visible) == sum(each <= reached for each in distances) < everything
    page.set("#maps [name=distance]", 10000)
    page.one("#maps [name=agree]").click()
    agreeing = page.script("return document.querySelectorAll('#maps .gallery line.agrees').length")
    assert page.script(visible) == agreeing
    assert page.texts("#maps .drawn-count") == [f"{agreeing} of {everything} matches shown"]
    page.wait(
        lambda: page.script(
            "return [...document.querySelectorAll('#maps .stack img')].every((x) => x.naturalWidth)"
        )
    )


def test_inversions_share_a_scale_and_a_moment(page: Page) -> None:
    page.open("#part=inversion")
    page.wait(lambda: len(page.all("#inversion .spectrograms figure")) == 3)
    assert page.texts("#inversion .spectrograms strong") == ["input", "conv1", "fc8"]
    assert page.texts("#inversion .picture .xlabel") == ["time (s)"] * 3
    assert page.texts("#inversion .picture .ylabel") == ["frequency (Hz)"] * 3
    page.wait(lambda: page.find("#inversion .comparison td"))
    assert "NRE" in page.texts("#inversion .comparison caption")[0]
    assert "shared" in page.one("#inversion [name=scale]").text
    pixels = "const c = document.querySelectorAll('#inversion .spectrograms canvas')[2]; return c.toDataURL()"
    shared = page.script(pixels)
    page.set("#inversion [name=scale]", "panel")
    page.wait(
        lambda: "do not compare" in page.one("#inversion .scale").text and page.script(pixels) != shared
    )
    player = page.one("#inversion .player audio")
    page.script("arguments[0].play()", player)
    page.wait(lambda: page.script("return arguments[0].currentTime", player) > 0.3)
    page.script("arguments[0].pause()", player)
    moment = page.script("return arguments[0].currentTime", player)
    second, third = page.all("#inversion .spectrograms button")[1:]
    page.script(
        "window.landed = null; arguments[0].addEventListener('seeked',"
        " (event) => { window.landed = event.target.currentTime; }, {once: true})",
        player,
    )
    second.click()
    page.wait(lambda: page.script("return window.landed !== null && !arguments[0].paused", player))
    assert page.script("return window.landed") >= moment - 0.05
    assert page.texts("#inversion .playing") == ["conv1"]
    second.send_keys(Keys.ARROW_RIGHT)
    assert page.driver.switch_to.active_element == third
    third.send_keys(Keys.ENTER)
    page.wait(lambda: page.texts("#inversion .playing") == ["fc8"])
    page.set("#inversion [name=excerpt]", "1")
    page.wait(
        lambda: (
            page.texts("#inversion .playing") == ["fc8: no sound in this report"]
            or len(page.all("#inversion .spectrograms figure")) == 2
        )
    )


def test_singing_can_be_filtered(page: Page) -> None:
    page.open("#part=inversion")
    page.wait(lambda: page.find("#inversion canvas"))
    every = len(page.all("#inversion [name=excerpt] option"))
    counts = []
    for output in ("vocal", "nonvocal"):
        page.set("#inversion [name=voice]", output)
        counts.append(len(page.all("#inversion [name=excerpt] option")))
    assert sum(counts) == every == 2
    empty = "vocal" if counts[0] == 0 else "nonvocal" if counts[1] == 0 else None
    if empty:
        page.set("#inversion [name=voice]", empty)
        page.wait(lambda: page.texts("#inversion .spectrograms p") == ["No excerpt fits the filter."])


def test_layers_tell_what_was_found_and_lead_there(page: Page) -> None:
    page.open("#part=layers")
    found = page.texts("[id='layer=svd/fc8'] .found")
    assert any("loudness: " in text and "neurons correlate with it" in text for text in found)
    assert any("NRE" in text for text in found)
    assert any(TAG in text for text in found)
    page.one("[id='layer=svd/fc8'] .found a").click()
    page.wait(lambda: page.shown() == "neurons" and page.texts("#neurons .detail h3"))
    assert page.texts("#neurons .detail h3")[0].startswith("svd · fc8 · neuron ")


def test_a_dark_page_is_dark(page: Page) -> None:
    page.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    try:
        page.open("#neuron=svd/fc8/3")
        page.wait(lambda: len(page.all("#neurons .detail .main-svg")) >= 3)
        paper, ink = (
            page.script(f"return getComputedStyle(document.body).{name}")
            for name in ("backgroundColor", "color")
        )
        level = [sum(int(part) for part in colour[4:-1].split(",")) for colour in (paper, ink)]
        assert level[0] < 120 < 600 < level[1]
        axis = page.script("return getComputedStyle(document.querySelector('#neurons .xtitle')).fill")
        assert sum(int(part) for part in axis[4:-1].split(",")) > 600
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_attributions_lie_over_their_input_and_are_played(page: Page) -> None:
    page.open("#part=attribution")
    page.wait(lambda: len(page.all("#attribution .passage figure")) == 3)
    assert page.texts("#attribution .passage figcaption strong") == ["input", "gradient_x_input", "grad_cam"]
    assert page.one("#attribution .output").text.startswith("Output, mean over the excerpts shown: 0.")
    assert len(page.all("#attribution canvas.over")) == len(page.all("#attribution canvas.under")) == 2
    painted = (
        "const over = document.querySelectorAll('#attribution canvas.over')[arguments[0]];"
        "const data = over.getContext('2d').getImageData(0, 0, over.width, over.height).data;"
        "const found = new Set(); for (let i = 0; i < data.length; i += 4) found.add(data[i + 2] > data[i]);"
        "return [...found].length"
    )
    assert page.script(painted, 0) == 2  # orange and blue
    page.one("#attribution [name=under]").click()
    page.wait(lambda: not page.all("#attribution canvas.under"))
    page.all("#attribution .passage button")[1].click()
    page.wait(lambda: page.script("return document.querySelector('#attribution .player audio').duration > 1"))
    assert page.one("#attribution .playing").text == "what speaks for the target by gradient_x_input"
    names = page.texts("#attribution [name=passage] option")
    assert len(names) == 2
    page.set("#attribution [name=passage]", 1)
    page.wait(lambda: "attribution=svd/" in page.driver.current_url)
    page.open("#attribution=svd/no such excerpt")
    page.wait(lambda: page.one(".alert").is_displayed())
    assert page.one(".alert").text == "The report has no attribution svd/no such excerpt."


def test_excited_inputs_are_on_the_page_of_the_neuron_and_in_a_list(page: Page) -> None:
    page.open("#neuron=svd/fc8/3")
    page.wait(lambda: len(page.all("#neurons .excited figure")) == 4)
    titles = ["best excerpt", "ascent: start", "ascent", "ascent: control"]
    assert page.texts("#neurons .excited figcaption strong") == titles
    assert len(page.all("#neurons .excited audio")) == 2
    page.open("#neuron=svd/fc8/4")
    page.one("#neurons .detail .playlist")
    assert not page.all("#neurons .excited")
    page.open("#part=attribution")
    page.wait(lambda: len(page.all("#attribution .excited figure")) == 4)
    assert page.texts("#attribution [name=excited] option") == ["svd/fc8/3", "svd/conv1/1"]
    page.set("#attribution [name=excited]", "svd/conv1/1")
    page.wait(lambda: "excited=svd/conv1/1" in page.driver.current_url)
    page.open("#excited=svd/fc8/9")
    page.wait(lambda: page.one(".alert").is_displayed())
    assert page.one(".alert").text == "The report has no excited neuron svd/fc8/9."
