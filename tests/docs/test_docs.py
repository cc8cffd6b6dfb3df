"""Every program in the documents runs, every shell line is one that exists, no link is dead.

A Python block runs after the blocks above it under the same heading, with the imports that the
guide begins with. A comment above the block that GitHub does not show says what else it needs::

    <!-- run: program NAME -->  a whole program: runs for some frames without a screen
    <!-- run: typed NAME TEXT -->  a program that prints the text that is typed into its window
    <!-- run: file PATH -->     a module that the program below imports
    <!-- run: client -->        has a ``client``, connected to the ``server`` of this heading
    <!-- run: raises ERROR -->  raises that
    <!-- run: serve -->         runs a server, which is stopped after its first tick
    <!-- run: connect -->       connects to where nobody is
    <!-- run: async -->         defines ``main()``, which runs beside the ``server``

`test_pong.py` plays the steps of ``docs/pong.md``, `test_analytics.py` the match of
``docs/analytics.md``.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import enum
import importlib
import inspect
import io
import re
import runpy
import shlex
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import esper
import pytest

import ecsnet as net
from ecsnet.cli.main import _parser
from ecsnet.schema import Registry, use_registry
from ecsnet.testing import Harness, ManualClock
from ecsnet.transport.memory import MemoryServer

pygame = pytest.importorskip("pygame")

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
]
RUN = ["README.md", "docs/first-message.md", "docs/pong.md", "docs/guide.md"]
SAY = [*RUN, "docs/analytics.md"]  # whose blocks `test_analytics.py` runs
FRAMES = 40


@dataclass
class Block:
    """A fenced block. ``hint`` is what the comment above it says, split at spaces."""

    line: int
    language: str
    hint: list[str]
    code: str


@dataclass
class Chapter:
    """What stands under one heading of the second level."""

    file: str
    title: str
    blocks: list[Block] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.file}: {self.title}"


def chapters(file: str) -> list[Chapter]:
    found = [Chapter(file, "opening")]
    block: Block | None = None
    hint: list[str] = []
    lines: list[str] = []
    for number, line in enumerate((ROOT / file).read_text(encoding="utf-8").splitlines(), 1):
        if block is not None:
            if line == "```":
                block.code = "\n".join(lines) + "\n"
                found[-1].blocks.append(block)
                block = None
            else:
                lines.append(line)
        elif line.startswith("```"):
            block, lines = Block(number + 1, line[3:].strip(), hint, ""), []
            hint = []
        elif line.startswith("## "):
            found.append(Chapter(file, line[3:]))
        elif match := re.fullmatch(r"<!-- run: (.*) -->", line):
            hint = match[1].split()
    assert block is None, f"{file}: an open block"
    assert not hint, f"{file}: a comment above no block"
    return found


CHAPTERS = [
    chapter
    for file in RUN
    if file != "docs/pong.md"
    for chapter in chapters(file)
    if any(block.language == "python" for block in chapter.blocks)
]
PRELUDE = chapters("docs/guide.md")[0].blocks[0].code


class Screen:
    """What stands in for a screen, a keyboard and the time of day."""

    def __init__(self, frames: int) -> None:
        self.clock = ManualClock()
        self.frames = frames
        self.frame = 0
        self.typed: list[object] = []  # a key for each frame, from the tenth on
        self.pressed = {pygame.K_RIGHT: True}
        self.shown = 0
        self.worlds: list[dict[str, list[object]]] = []

    # As modules and functions that a program uses.

    def perf_counter(self) -> float:
        return self.clock()

    def get_pressed(self) -> dict[int, bool]:
        return defaultdict(bool, self.pressed)

    def get_events(self, kind: int = pygame.QUIT) -> list[object]:
        if kind == pygame.KEYDOWN:
            return [self.typed.pop(0)] if self.typed and self.frame > 10 else []
        self.frame += 1
        return [pygame.event.Event(pygame.QUIT)] if self.frame >= self.frames else []

    def wait(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds / 1000)

    def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def flip(self) -> None:
        self.shown += 1

    def tick(self, rate: float = 0) -> int:
        """The end of a frame: time passes, and what the world holds is noted."""
        self.clock.advance(1 / (rate or 60))
        seen: dict[str, list[object]] = defaultdict(list)
        for entity in list(esper._entities):
            for component in esper.components_for_entity(entity):
                seen[type(component).__name__].append(_copy(component))
        self.worlds.append(seen)
        return 16


def _copy(component: object) -> object:
    names = getattr(component, "__struct_fields__", ())
    return {name: getattr(component, name) for name in names}


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    made = Screen(FRAMES)
    monkeypatch.setattr(pygame.event, "get", made.get_events)
    monkeypatch.setattr(pygame.key, "get_pressed", made.get_pressed)
    monkeypatch.setattr(pygame.display, "flip", made.flip)
    monkeypatch.setattr(pygame.time, "Clock", lambda: made)
    monkeypatch.setattr(pygame.time, "wait", made.wait)
    monkeypatch.setattr(time, "sleep", made.sleep)
    monkeypatch.setattr(sys.modules["ecsnet.play"], "time", made)
    play = net.play

    def play_somewhere(*arguments: Any, **options: Any) -> net.ClientWorld:
        """Like `net.play`, on whatever port is free."""
        return play(*arguments, **{"host": "127.0.0.1", "port": 0, **options})

    monkeypatch.setattr(net, "play", play_somewhere)
    yield made
    pygame.quit()


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    """A fresh esper world and a fresh registry for each test."""
    with use_registry(Registry()), net.World() as world:
        yield
    world.close()


class Reader:
    """Runs the blocks of one chapter, as somebody would who types them in."""

    def __init__(self, chapter: Chapter, folder: Path, screen: Screen) -> None:
        self.chapter = chapter
        self.folder = folder
        self.screen = screen
        self.ran = 0
        self.game: Harness | None = None
        self.client: net.ClientWorld | None = None
        self.names: dict[str, Any] = {"__name__": "guide", "pytest": pytest}
        exec(PRELUDE, self.names)

    def run(self) -> None:
        for block in self.chapter.blocks:
            if block.language != "python":
                continue
            way, *arguments = block.hint or ["plain"]
            getattr(self, f"_{way}")(block, *arguments)
            self.ran += 1
        if self.game is not None:
            self.game.close()

    def _compiled(self, block: Block, code: str | None = None) -> Any:
        """The block as code whose line numbers are the document's."""
        text = "\n" * (block.line - 1) + (block.code if code is None else code)
        return compile(text, str(ROOT / self.chapter.file), "exec")

    def _plain(self, block: Block) -> None:
        before = set(self.names)
        exec(self._compiled(block), self.names)
        for name in self.names.keys() - before:
            if name.startswith("test_"):
                self.names[name]()

    def _raises(self, block: Block, error: str) -> None:
        with pytest.raises(getattr(net, error)) as caught:
            self._plain(block)
        # A comment in the block quotes the message, with dots for what is left out.
        for quote in re.findall(rf"# {error}: (.*)", block.code):
            pattern = ".*".join(map(re.escape, quote.split("...")[:-1])) + ".*"
            assert re.search(pattern, str(caught.value)), str(caught.value)

    def _file(self, block: Block, path: str) -> None:
        file = self.folder / path
        file.parent.mkdir(exist_ok=True)
        if file.parent != self.folder:
            (file.parent / "__init__.py").touch()
        file.write_text(block.code, encoding="utf-8")

    def _program(self, block: Block, name: str) -> None:
        path = self.folder / name
        path.write_text(block.code, encoding="utf-8")
        with use_registry(Registry()), net.World() as world, _importable(self.folder):
            runpy.run_path(str(path), run_name="__main__")
        world.close()
        assert self.screen.frame == FRAMES
        assert self.screen.shown == len(self.screen.worlds) == FRAMES - 1
        # The player was in the game, and held the right arrow key.
        played = [world for world in self.screen.worlds if world["Player"]]
        assert len(played) > FRAMES / 2
        assert played[0] != played[-1]

    def _typed(self, block: Block, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(block.code, encoding="utf-8")
        for letter in text:
            self.screen.typed.append(pygame.event.Event(pygame.KEYDOWN, key=0, unicode=letter))
        self.screen.typed.append(
            pygame.event.Event(pygame.KEYDOWN, key=pygame.K_RETURN, unicode="\r")
        )
        out = io.StringIO()
        with use_registry(Registry()), net.World() as world, contextlib.redirect_stdout(out):
            runpy.run_path(str(path), run_name="__main__")
        world.close()
        told, *printed = out.getvalue().splitlines()
        assert told.startswith("hosting")
        assert printed == [text]

    def _client(self, block: Block) -> None:
        if self.client is None:
            self.game = Harness(self._server())
            self.client = self.names["client"] = self.game.connect("Ada", smooth=True)
            self.game.run(seconds=0.5)
        assert self.game is not None
        with self.client.view:
            self._plain(block)
        self.game.run(seconds=0.5)
        assert self.client.connected

    def _server(self) -> net.ServerWorld:
        return self.names.get("server") or net.ServerWorld()

    def _serve(self, block: Block) -> None:
        server = self._server()
        ticks: list[float] = []

        @server.system
        def end(dt: float) -> None:
            ticks.append(dt)
            server.stop()

        exec(self._compiled(block, _elsewhere(block.code)), self.names)
        assert ticks

    def _connect(self, block: Block) -> None:
        exec(self._compiled(block, _elsewhere(block.code, 9)), self.names)
        self.names["client"].close()

    def _async(self, block: Block) -> None:
        with use_registry(Registry()):
            made = type("Steer", (), {"__annotations__": {"dx": int}, "dx": 0})
            self.names["Steer"] = net.command(hold=True)(made)
            server = net.ServerWorld()

            async def both() -> None:
                ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
                serving = asyncio.create_task(
                    server.serve("127.0.0.1", 0, ready=lambda address: ready.set_result(address[1]))
                )
                exec(self._compiled(block, _elsewhere(block.code, await ready)), self.names)
                await self.names["main"]()
                assert server.host is not None
                assert server.host.stats().joined == 1
                server.stop()
                await serving

            asyncio.run(both())


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """A folder's modules as a program in it finds them, whatever else has their names."""
    own = {path.stem for path in folder.iterdir()}
    others = {name: sys.modules.pop(name) for name in list(sys.modules) if _top(name) in own}
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if _top(name) in own]:
            del sys.modules[name]
        sys.modules.update(others)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _elsewhere(code: str, port: int = 0) -> str:
    """The same code, with addresses that a test may use."""
    for host in ("example.org", "0.0.0.0"):
        code = code.replace(f'"{host}"', '"127.0.0.1"')
    return code.replace("7777", str(port))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=str)
def test_python(chapter: Chapter, tmp_path: Path, screen: Screen) -> None:
    reader = Reader(chapter, tmp_path, screen)
    reader.run()
    assert reader.ran == sum(block.language == "python" for block in chapter.blocks)


# Whose blocks of Python other tests run.
RUN_ELSEWHERE = {
    "docs/analytics.md": "tests/docs/test_analytics.py",
    "docs/journal.md": "tests/unit/analytics/test_journal_doc.py",
}


def test_every_block_of_python_is_run_by_a_test() -> None:
    """Those of `RUN` and of the protocol are run by this file, those of Pong by its neighbour."""
    shown = {
        file
        for file in DOCUMENTS
        if any(b.language == "python" for chapter in chapters(file) for b in chapter.blocks)
    }
    assert shown == {*RUN, *RUN_ELSEWHERE, "docs/protocol.md"}
    for file, test in RUN_ELSEWHERE.items():
        assert file.rpartition("/")[2] in (ROOT / test).read_text(encoding="utf-8")


def test_the_types_of_the_protocols_example() -> None:
    class Angle:
        def __init__(self, degrees: float) -> None:
            self.degrees = degrees

    net.register_type(Angle, float, lambda angle: angle.degrees, Angle)
    names: dict[str, Any] = {"Angle": Angle, "Colour": enum.Enum("Colour", {"RED": "red"})}
    exec(PRELUDE, names)
    (block,) = (
        block
        for chapter in chapters("docs/protocol.md")
        for block in chapter.blocks
        if block.language == "python"
    )
    exec(block.code, names)
    tank = names["Tank"](hp=50, aim=Angle(90.0), spot=names["Spot"](1.5))
    assert (tank.colour, tank.spot.x) == (names["Colour"].RED, 1.5)


def _opening() -> Block:
    return next(b for b in chapters("README.md")[0].blocks if b.language == "python")


def test_readme_opens_with_what_works_in_a_fresh_clone() -> None:
    """The commands that need no published package come first, and the others say what they need."""
    typed = [words for file, words in _shell_lines() if file == "README.md"]
    assert [words[:2] for words in typed[:2]] == [["make", "demo"], ["make", "test"]]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.index("not published yet") < text.index("pip install")


def test_readme_opens_with_a_picture_and_the_smallest_game() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    picture = re.match(r"!\[[^]]+\]\((\S+)\)\n", text)
    assert picture is not None
    assert (ROOT / picture[1]).read_bytes().startswith(b"\x89PNG")
    code = _opening().code
    assert code.strip() == (ROOT / "samples/square/__main__.py").read_text(encoding="utf-8").strip()
    assert len([line for line in code.splitlines() if line.strip()]) <= 34


def test_two_play_the_game_of_the_readme(
    tmp_path: Path, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program hosts on a real socket; a second player joins it and sees both squares move."""
    ports: list[int] = []
    udp = sys.modules["ecsnet.play"].UdpServerSocket

    def bound(host: str, port: int) -> Any:
        made = udp(host, port)
        ports.append(made.address[1])
        return made

    monkeypatch.setattr(sys.modules["ecsnet.play"], "UdpServerSocket", bound)
    path = tmp_path / "game.py"
    path.write_text(_opening().code, encoding="utf-8")
    screen.frames = 150
    second: list[net.ClientWorld] = []
    told: list[object] = []
    tick = screen.tick
    registry = Registry()

    def both(rate: float = 0) -> int:
        if not second:
            second.append(
                net.ClientWorld.connect(
                    "127.0.0.1", ports[0], world="second", registry=registry, clock=screen.clock
                )
            )
        told.extend(second[0].poll())
        return tick(rate)

    captions: set[str] = set()
    monkeypatch.setattr(screen, "tick", both)
    monkeypatch.setattr(pygame.display, "set_caption", captions.add)
    with use_registry(registry):
        names = runpy.run_path(str(path), run_name="__main__")
    told.extend(second[0].poll())
    first = [world["Square"] for world in screen.worlds if world["Square"]]
    assert len(first[-1]) == 2
    assert first[-1][0]["x"] > first[0][0]["x"] + 200  # type: ignore[index]
    assert [type(event) for event in told][:3] == [net.Connected, net.Spawned, net.Spawned]
    assert told[-1] == net.Disconnected("shutdown")
    with second[0].view:
        squares = sorted(square.x for _, square in esper.get_component(names["Square"]))
    # Each has a place and a colour of its own, and the window says which it is.
    assert squares[0] == 320.0
    assert squares[1] > 360.0
    assert {square["colour"] for square in first[-1]} == {"cyan", "violet"}  # type: ignore[index]
    assert captions == {"host, cyan"}
    second[0].close()
    second[0].view.close()


@pytest.mark.parametrize(
    ("file", "block"),
    [
        (chapter.file, block)
        for chapter in CHAPTERS
        for block in chapter.blocks
        if block.hint[:1] == ["program"] and "from game import" not in block.code
    ],
    ids=lambda value: value.hint[1] if isinstance(value, Block) else "",
)
def test_programs_end_and_say_why_when_there_is_no_game(
    file: str,
    block: Block,
    tmp_path: Path,
    screen: Screen,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def play(server: net.ServerWorld) -> net.ClientWorld:
        return net.ClientWorld.over(
            MemoryServer().connect(), clock=screen.clock
        )  # nobody is at the other

    monkeypatch.setattr(net, "play", play)
    screen.frames = 10_000
    path = tmp_path / "game.py"
    path.write_text(block.code, encoding="utf-8")
    with use_registry(Registry()):
        runpy.run_path(str(path), run_name="__main__")
    assert 60 < screen.frame < 1000
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("refused: nobody answers there")


# Shell lines.


def _shell_lines() -> list[tuple[str, list[str]]]:
    typed = [
        (file, shlex.split(line.replace("<your fork>", "fork"), comments=True))
        for file in [*RUN, "CONTRIBUTING.md"]
        for chapter in chapters(file)
        for block in chapter.blocks
        if block.language == "sh"
        for line in block.code.splitlines()
    ]
    return [(file, words) for file, words in typed if words]


def _known_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize(("file", "words"), _shell_lines())
def test_shell(file: str, words: list[str]) -> None:
    program, *arguments = words
    if program in ("ecsnet", ".venv/bin/ecsnet"):
        _parser().parse_args(arguments)  # ends the program when it does not understand them
    elif program == "make":
        assert arguments[0] in _known_targets()
    elif program == "ECSNET_COMPILE=1":
        assert "ECSNET_COMPILE" in (ROOT / "hatch_build.py").read_text()
        assert arguments == ["pip", "install", "--no-binary", "ecsnet", "ecsnet"]
    elif program == "pip":
        assert arguments[:1] == ["install"]
        extra = re.fullmatch(r"ecsnet\[(\w+)\]", arguments[1])
        assert extra is not None
        assert f"\n{extra[1]} = [" in (ROOT / "pyproject.toml").read_text()
    elif program in ("python", ".venv/bin/python"):
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"<!-- run: (program|typed|file) {arguments[0]}\b", text)
    elif program == "cd":
        assert (file, ["ecsnet", "new", *arguments]) in _shell_lines()
    else:
        assert program in ("git", "pytest")


# Links.


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("file", DOCUMENTS)
def test_links(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (ROOT / file).parent / path if path else ROOT / file
        assert there.exists(), f"{file} links to {target}"
        if anchor:
            assert anchor in _anchors(there.read_text(encoding="utf-8")), f"{file}: {target}"


def test_names_in_the_guide_exist() -> None:
    """`net.X` in prose and code is public."""
    for file in SAY:
        text = (ROOT / file).read_text(encoding="utf-8")
        for name in sorted(set(re.findall(r"\bnet\.(\w+)", text))):
            assert name in net.__all__, f"{file}: net.{name}"


def test_options_of_a_server_are_documented() -> None:
    """The guide's table has every argument of ServerWorld, with its default."""
    text = (ROOT / "docs/guide.md").read_text(encoding="utf-8")
    table = text.partition("The options of a `ServerWorld`:")[2].partition("\n\n## ")[0]
    written = dict(re.findall(r"^\| `(\w+)=([^`]+)` \|", table, re.MULTILINE))
    arguments = inspect.signature(net.ServerWorld).parameters
    assert written.keys() == arguments.keys()
    for name, default in written.items():
        assert ast.literal_eval(default) == arguments[name].default, name


def test_everything_public_is_documented() -> None:
    """Each public name stands in README, guide or chapter; of errors, those to be caught do."""
    text = "".join((ROOT / file).read_text(encoding="utf-8") for file in SAY)
    names = {name for name in net.__all__ if not name.endswith("Error")} - {"__version__"}
    unsaid = {name for name in names if not re.search(rf"\b{name}\b", text)}
    assert unsaid <= {"ClientStats", "Event", "Interest"}
    for package in ("components", "systems"):
        for name in importlib.import_module(f"ecsnet.{package}").__all__:
            assert re.search(rf"\b{name}\b", text), name
