"""What recognises text on pictures: packages for the sandbox alone, fetched by a command. The models, for
Chinese and English, lie in rapidocr's wheel (PP-OCRv6, Apache-2.0); nothing is fetched while it is used.
"""

from pathlib import Path

from agents.sandbox import packages

# With what they need themselves: nothing is chosen when they are installed.
PINNED = (
    *("rapidocr==3.10.0", "onnxruntime==1.32.0", "opencv-python-headless==5.0.0.93", "pypdfium2==5.15.2"),
    *("numpy==2.4.6", "pillow==13.0.0", "pyclipper==1.4.0", "shapely==2.2.0", "PyYAML==6.0.3"),
    *("omegaconf==2.4.0", "colorlog==6.12.0", "six==1.17.0", "tqdm==4.70.1", "packaging==26.3"),
    *("protobuf==7.36.2", "flatbuffers==25.12.19", "requests==2.34.2", "urllib3==2.8.0"),
    *("idna==3.20", "certifi==2026.10.18", "charset-normalizer==3.5.2"),
)


def installed(folder: Path) -> Path | None:
    """The folder, when all of it is there."""
    return packages.installed(folder, PINNED)


def install(folder: Path) -> None:
    """Raises packages.InstallFailed."""
    packages.install(folder, PINNED)
