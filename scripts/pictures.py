"""Draw the pictures of the documentation: the demonstration's page, photographed by Chromium.

Needs `chromium` (or `chromium-browser`, `google-chrome`) on the path; nothing else does.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cerberus_trader.replay.demo import run_demo

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--virtual-time-budget=10000",
)  # fmt: skip
# name, width, height, frame width (a phone is narrower than the browser's least window), dark
SHOTS = (
    ("report", 1280, 1900, 0, False),
    ("report-dark", 1280, 1900, 0, True),
    ("report-phone", 500, 1500, 390, False),
)


def shoot(browser: str, page: Path, target: Path, shot: tuple[str, int, int, int, bool]) -> None:
    """Photograph a page; a phone's width comes from a frame."""
    _, width, height, frame, dark = shot
    with tempfile.TemporaryDirectory() as profile:
        address = page.as_uri()
        if frame:
            holder = Path(profile) / "frame.html"
            style = f"border:0;width:{frame}px;height:{height}px"
            holder.write_text(
                f'<body style="margin:0"><iframe src="{address}" style="{style}"></iframe>'
            )
            address = holder.as_uri()
        scheme = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0") if dark else ()
        subprocess.run(
            [browser, *FLAGS, *scheme, f"--user-data-dir={profile}",
             f"--window-size={frame or width},{height}", f"--screenshot={target}", address],
            check=True, capture_output=True,
        )  # fmt: skip


def main() -> None:
    """Run the demonstration and write docs/pictures/*.png."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit("no Chromium on the path")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run_demo(Path(folder) / "demo")
        for shot in SHOTS:
            target = PICTURES / f"{shot[0]}.png"
            shoot(browser, Path(folder) / "demo" / "report.html", target, shot)
            print(f"{target.relative_to(ROOT)}: {target.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
