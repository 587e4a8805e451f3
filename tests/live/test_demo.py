"""merit demo in a real browser: sound goes in, all there is comes out, and nothing elsewhere."""

import io
import json
import shutil
import sys
from urllib.parse import urlsplit

import pytest
import soundfile as sf

from speechbrain_merit.__main__ import main
from tests.live.service import RATE, running, small_model, voice

pytest.importorskip("gradio", reason="the extra demo is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("no Chromium here: apt-get install chromium", allow_module_level=True)

SLOW = 120_000  # milliseconds: of a machine that has other work
#: Loaded by every Python that starts: notes whom the process itself connects to.
NOTING = """
import os, socket
connect = socket.socket.connect
def noted(self, address):
    with open(os.environ["NOTED"], "a") as file:
        file.write(f"{address[0] if isinstance(address, tuple) else 'local'}\\n")
    return connect(self, address)
socket.socket.connect = noted
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    sf.write(folder / "microphone.wav", voice(20), RATE)
    sf.write(folder / "call.wav", voice(6, rate=44100), 44100)
    (folder / "text.wav").write_text("no sound at all\n" * 100)
    (folder / "sitecustomize.py").write_text(NOTING)
    return folder


@pytest.fixture(scope="module")
def address(folder):
    model = small_model(folder / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=":")
        patch.setenv("NOTED", str(folder / "noted.txt"))
        with running("demo", folder, "--model", str(model)) as (url, _):
            yield url


@pytest.fixture(scope="module")
def browser(folder):
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    fake.append(f"--use-file-for-fake-audio-capture={folder / 'microphone.wav'}")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *fake])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """The page, in a browser that notes every address that it asks."""
    page = browser.new_page()
    page.set_default_timeout(SLOW)
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("websocket", lambda socket: page.asked.append(socket.url))
    page.goto(address)
    page.get_by_text("Drop a file, or record").first.wait_for()
    yield page
    hosts = {
        urlsplit(url).netloc for url in page.asked if url.split(":")[0] not in ("data", "blob")
    }
    assert hosts == {urlsplit(address).netloc}
    page.close()


def seconds(page, name):
    """How long the sound of one of Gradio's players is, as it gives it to be downloaded."""
    link = page.locator(f"#{name} a[href]").first
    link.wait_for(state="attached")
    return sf.info(io.BytesIO(page.request.get(link.get_attribute("href")).body())).duration


def test_a_file_goes_in_and_players_pictures_and_the_emotion_come_out(page, folder):
    page.locator("input[type=file]").first.set_input_files(folder / "call.wav")
    page.locator("#experts img").wait_for()
    for name in ("before", "after"):
        assert seconds(page, name) == pytest.approx(6, abs=0.01)
        page.locator(f"#{name}").get_by_text("0:06").wait_for()  # the player has it too
    for name in ("picture", "experts"):
        width = page.locator(f"#{name} img").evaluate("image => image.naturalWidth")
        assert width > 500
    assert "6.0 s" in page.locator("#told").inner_text()
    rows = page.locator("#timeline tr").all_inner_texts()
    assert len(rows) >= 2 and rows[0].split("\t") == ["from (s)", "to (s)", "emotion", "score"]
    told = page.locator("#told").inner_text()
    shown = page.locator("#emotion").inner_text()
    assert "no speech" in told or any(
        name in shown for name in ("angry", "sad", "happy", "neutral")
    )


def test_a_synthetic_voice_is_heard_with_its_probabilities(page):
    page.get_by_role("button", name="Happy, then sad, in babble").click()
    page.locator("#experts img").wait_for()
    assert seconds(page, "before") == pytest.approx(10, abs=0.01)
    if "no speech" not in page.locator("#told").inner_text():
        shown = page.locator("#emotion").inner_text()
        assert all(name in shown for name in ("angry", "sad", "happy", "neutral")) and "%" in shown


def test_a_text_that_is_named_wav_gives_a_sentence(page, folder):
    page.locator("input[type=file]").first.set_input_files(folder / "text.wav")
    page.get_by_text("This cannot be heard").wait_for()
    told = page.locator("#told").inner_text()
    assert "text.wav: no recording that can be read" in told
    assert "Traceback" not in page.content() and str(folder) not in told
    assert page.locator("#picture img").count() == 0


def test_a_microphone_is_heard_live_and_no_sample_is_lost(page):
    page.get_by_role("tab", name="Live").click()
    button = page.locator("#merit-button")
    button.click()
    page.wait_for_function(
        "() => document.getElementById('merit-facts').textContent.includes(' s')"
    )
    assert page.locator("#merit-strip span").count() >= 1
    button.click()
    lengths = []
    for name in ("merit-before", "merit-after"):
        page.wait_for_function("name => document.getElementById(name).duration > 0", arg=name)
        lengths.append(page.evaluate("name => document.getElementById(name).duration", name))
    assert lengths[0] == lengths[1] > 0.5  # the first answer came of as much at least
    assert button.inner_text() == "Start"


def test_the_program_itself_speaks_to_this_machine_alone(page, folder):
    asked = set((folder / "noted.txt").read_text().split())
    assert asked <= {"127.0.0.1", "local", "::1", "localhost"}, asked


def test_the_page_is_for_this_machine_alone_and_knows_no_font_from_elsewhere(page, address):
    assert urlsplit(address).hostname == "127.0.0.1"
    config = json.loads(page.evaluate("() => JSON.stringify(window.gradio_config)"))
    assert config["analytics_enabled"] is False
    html = page.content()
    assert "fonts.googleapis" not in html and "gstatic" not in html


def test_what_keeps_it_from_starting_is_said_in_a_sentence(address, capsys, monkeypatch):
    port = str(urlsplit(address).port)
    assert main(["demo", "--port", port]) == 2
    assert f"port {port}: cannot be listened at" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo", "--port", "0"]) == 2
    assert "speechbrain_merit[demo]" in capsys.readouterr().err
