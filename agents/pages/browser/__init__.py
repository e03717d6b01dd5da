"""Pages that show their text only once their scripts have run: Chromium, led by Playwright in a process of
its own, fenced in by bubblewrap with no network but a guarded proxy."""
