"""Tests the demo: its API, which needs Gradio, and its command."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import textwrap

import pytest
from conftest import (
    TINY_MODEL,
    assert_one_line,
    call,
    find_free_port,
)
from drawing import draw, save

gradio = pytest.importorskip("gradio", reason="It needs the extra 'demo'.")
from gradio_client import Client, handle_file  # noqa: E402
from gradio_client.exceptions import AppError  # noqa: E402

from koch_siamese import InputError, Recognizer, web  # noqa: E402
from koch_siamese.web.drawing_pad import open_drawing  # noqa: E402
from koch_siamese.web.page import build_page, serve  # noqa: E402
from koch_siamese.web.session import Session  # noqa: E402

LOCAL = ("127.0.0.1", "localhost", "0.0.0.0", "::1")
TALL, WIDE = (20, 10, 50, 95), (10, 40, 95, 65)


@pytest.fixture(scope="module")
def contacted():
    """The hosts that are looked up or connected to during these tests."""
    hosts = set()

    def watch(function, place):
        def watched(*arguments, **options):
            host = arguments[place]
            hosts.add(host[0] if isinstance(host, tuple) else host)
            return function(*arguments, **options)

        return watched

    with pytest.MonkeyPatch.context() as patch:
        # Turns off the telemetry of the client, which is not part of the page.
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        patch.setattr(socket, "getaddrinfo", watch(socket.getaddrinfo, 0))
        patch.setattr(socket.socket, "connect", watch(socket.socket.connect, 1))
        yield hosts


@pytest.fixture(scope="module")
def url(contacted):
    session = Session.start(Recognizer(TINY_MODEL))
    session.warm_up()
    page = build_page(session)
    yield serve(page, "127.0.0.1", find_free_port())
    page.close(verbose=False)


@pytest.fixture
def images(tmp_path):
    for name, box in (("tall", TALL), ("wide", WIDE)):
        save(draw(box=box), tmp_path / f"{name}.png")
    draw().point(lambda _: 255).save(tmp_path / "blank.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and no more")
    return {x.stem: handle_file(x) for x in tmp_path.iterdir()}


@pytest.fixture
def client(url):
    with contextlib.closing(Client(url, verbose=False)) as client:
        yield client


def test_clients_add_and_classify(client, images):
    for number, name in enumerate(("tall", "wide"), 1):
        known = client.predict(images[name], name, api_name="/add")
        assert known["num_examples"] == number
    assert known["names"] == ["tall", "wide"]
    for name, other in (("tall", "wide"), ("wide", "tall")):
        answer = client.predict(images[name], api_name="/classify")
        assert (answer["best"], answer["runner_up"]) == (name, other)
        assert answer["score"] == answer["candidates"][0]["score"]
    assert set(answer) == {
        *("character", "best", "score", "probability", "runner_up"),
        *("runner_up_score", "threshold", "candidates"),
    }
    answer = client.predict(images["tall"], 1, api_name="/classify")
    assert len(answer["candidates"]) == 1
    left = client.predict("tall", api_name="/remove")
    assert left == {"names": ["wide"], "num_examples": 1}


def test_the_client_in_the_guide_runs(url, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(
        r"^    from gradio_client .*?\n\n(?=\S)", web.__doc__, re.DOTALL | re.M
    )
    for path, box in (("known/ka", TALL), ("known/ki", WIDE), ("new", WIDE)):
        save(draw(box=box), tmp_path / f"{path}.png")
    monkeypatch.chdir(tmp_path)
    code = textwrap.dedent(code)
    exec(code.replace("http://127.0.0.1:7860", url.rstrip("/")), {})
    assert "'best': 'ki'" in capsys.readouterr().out


def test_clients_verify(client, images):
    verdict = client.predict(images["tall"], images["tall"], api_name="/verify")
    assert set(verdict) == {"same", "score", "probability", "threshold"}
    assert verdict["same"] is True
    other = client.predict(images["tall"], images["wide"], api_name="/verify")
    assert other["score"] < verdict["score"]


def test_clients_transcribe(client, images, tmp_path):
    pytest.importorskip("skimage", reason="Pages need the extra 'pages'.")
    client.predict(images["tall"], "tall", api_name="/add")
    page = draw(300, (0, 0, 0, 0)).point(lambda _: 255)
    for left in (30, 120, 210):
        page.paste(draw(60, (15, 5, 35, 55)), (left, 100))
    file = handle_file(save(page, tmp_path / "page.png"))
    (read,) = client.predict(file, api_name="/transcribe")
    assert read["page"] == "page.png"
    (line,) = read["lines"]
    lefts = [symbol["box"][0] for symbol in line]
    assert len(line) == 3
    assert lefts == sorted(lefts)
    (read,) = client.predict(file, "rtl", api_name="/transcribe")
    assert [x["box"][0] for x in read["lines"][0]] == lefts[::-1]


def test_each_client_has_a_session_of_its_own(client, url, images):
    client.predict(images["tall"], "tall", api_name="/add")
    with contextlib.closing(Client(url, verbose=False)) as other:
        known = other.predict(images["wide"], "wide", api_name="/add")
        assert known["names"] == ["wide"]
    known = client.predict(images["tall"], "tall", api_name="/add")
    assert known == {"names": ["tall"], "num_examples": 2}
    client.reset_session()
    with pytest.raises(AppError, match="no examples yet"):
        client.predict(images["tall"], api_name="/classify")


def test_concurrent_calls_are_all_kept(client, images):
    jobs = [
        client.submit(images["tall"], f"s{i}", api_name="/add")
        for i in range(8)
    ]
    assert max(job.result()["num_examples"] for job in jobs) == 8


@pytest.mark.parametrize(
    ("endpoint", "arguments", "part"),
    [
        ("add", ["broken", "x"], "'broken.png' cannot be read"),
        ("add", ["blank", "x"], "'blank.png': no clean symbol"),
        ("add", ["tall", " "], "has no name"),
        ("classify", ["tall"], "no examples yet"),
        ("verify", ["tall", "blank"], "'blank.png': no clean symbol"),
        ("remove", ["x"], "no character 'x'"),
        ("transcribe", ["tall"], "no examples yet"),
    ],
)
def test_mistakes_of_clients_get_one_line(
    client, images, endpoint, arguments, part, capfd
):
    given = [images.get(x, x) for x in arguments]
    with pytest.raises(AppError, match=part) as error:
        client.predict(*given, api_name=f"/{endpoint}")
    assert "\n" not in str(error.value)
    assert "Traceback" not in capfd.readouterr().err


def test_endpoints_are_the_documented_ones(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    parameters = {
        name: [x["parameter_name"] for x in endpoint["parameters"]]
        for name, endpoint in endpoints.items()
    }
    assert parameters == {
        "/add": ["image", "name"],
        "/remove": ["name"],
        "/classify": ["image", "top_k"],
        "/verify": ["first", "second"],
        "/transcribe": ["page", "direction"],
    }


def test_no_other_server_is_contacted(client, contacted):
    assert "127.0.0.1" in contacted
    assert contacted <= {*LOCAL, None}


def test_drawings_on_the_pad_are_read():
    assert open_drawing(None) is None
    file = open_drawing({"name": "", "data": "data:image/png;base64,aGVsbG8="})
    assert (file.read(), file.name) == (b"hello", "the drawing")
    file = open_drawing({"name": "ka.png", "data": "data:;base64,aGVsbG8="})
    assert file.name == "ka.png"


def test_port_in_use_is_refused():
    page = build_page(Session.start(Recognizer(TINY_MODEL)))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port={port}"):
            serve(page, "127.0.0.1", port)


def test_the_command_serves_until_it_is_interrupted(tmp_path):
    for name, box in (("tall", TALL), ("wide", WIDE)):
        save(draw(box=box), tmp_path / f"{name}.png")
    port = find_free_port()
    command = [sys.executable, "-m", "koch_siamese.demo", f"--port={port}"]
    command += [f"--model={TINY_MODEL}", f"--support={tmp_path}"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            said = process.stdout.readline()
            assert said.startswith(f"Open http://127.0.0.1:{port}/ in a")
            client = Client(f"http://127.0.0.1:{port}", verbose=False)
            query = handle_file(tmp_path / "wide.png")
            answer = client.predict(query, api_name="/classify")
            assert answer["best"] == "wide"
            client.close()
        finally:
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_mistakes_of_the_command_get_one_line(tmp_path):
    assert_one_line(
        call("demo", f"--support={tmp_path / 'no'}"), "does not exist"
    )
    assert_one_line(call("demo", "--port=70000"), "--port=70000")
    assert_one_line(
        call("demo", f"--model={tmp_path / 'no.keras'}"), "no.keras"
    )
