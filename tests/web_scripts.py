"""JavaScript for pages with the web viewer, and what several tests do to them."""

from __future__ import annotations

from imavatar_deploy.exporters.formats.web.chromium import Page

HEAD = "document.querySelector('imavatar-head')"
NEXT_FRAME = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def lose_and_restore_context(page: Page) -> None:
    """Take the graphics context from the head for a frame, as a browser may."""
    page.evaluate(
        f"""(async () => {{
          const canvas = {HEAD}.shadowRoot.querySelector("canvas");
          const lose = canvas.getContext("webgl2").getExtension("WEBGL_lose_context");
          const event = (name) => new Promise((done) => canvas.addEventListener(name, done));
          const lost = event("webglcontextlost");
          lose.loseContext();
          await lost;
          await {NEXT_FRAME};
          const restored = event("webglcontextrestored");
          lose.restoreContext();
          await restored;
        }})()"""
    )
