"""Twenty-five free fonts of the distribution, fetched once and unpacked beside the fits, installed nowhere."""

from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.debian import unpack_packages


class Font(NamedTuple):
    """A family: the Debian package that carries it, and the file of its regular face."""

    package: str
    file: str


FONTS: Final = (
    Font("fonts-adf-accanthis", "truetype/adf/AccanthisADFStd-Regular.otf"),
    Font("fonts-cabin", "opentype/cabin/Cabin-Regular.otf"),
    Font("fonts-cantarell", "opentype/cantarell/Cantarell-Regular.otf"),
    Font("fonts-cardo", "truetype/cardo/Cardo104s.ttf"),
    Font("fonts-comfortaa", "truetype/comfortaa/Comfortaa-Regular.ttf"),
    Font("fonts-courier-prime", "opentype/courier-prime/Courier Prime.otf"),
    Font("fonts-crosextra-caladea", "truetype/crosextra/Caladea-Regular.ttf"),
    Font("fonts-crosextra-carlito", "truetype/crosextra/Carlito-Regular.ttf"),
    Font("fonts-dejavu-core", "truetype/dejavu/DejaVuSans.ttf"),
    Font("fonts-dejavu-core", "truetype/dejavu/DejaVuSansMono.ttf"),
    Font("fonts-dejavu-core", "truetype/dejavu/DejaVuSerif.ttf"),
    Font("fonts-ebgaramond", "opentype/ebgaramond/EBGaramond12-Regular.otf"),
    Font("fonts-inconsolata", "truetype/inconsolata/Inconsolata.otf"),
    Font("fonts-junction", "opentype/junction/Junction.otf"),
    Font("fonts-jura", "opentype/jura/Jura-Regular.otf"),
    Font("fonts-liberation", "truetype/liberation/LiberationMono-Regular.ttf"),
    Font("fonts-liberation", "truetype/liberation/LiberationSans-Regular.ttf"),
    Font("fonts-liberation", "truetype/liberation/LiberationSerif-Regular.ttf"),
    Font("fonts-linuxlibertine", "opentype/linux-libertine/LinBiolinum_R.otf"),
    Font("fonts-linuxlibertine", "opentype/linux-libertine/LinLibertine_R.otf"),
    Font("fonts-open-sans", "truetype/open-sans/OpenSans-Regular.ttf"),
    Font("fonts-oxygen", "truetype/oxygen/Oxygen-Sans.ttf"),
    Font("fonts-play", "truetype/play/Play-Regular.ttf"),
    Font("fonts-quicksand", "truetype/quicksand/Quicksand-Regular.ttf"),
    Font("fonts-sil-gentium-basic", "truetype/gentium-basic/GenBasR.ttf"),
)


def fetched(folder: Path) -> list[Path]:
    """The files of all fonts, in the order of ``FONTS``; of packages that are not there yet, fetched by apt.

    Raises:
        CalledProcessError: this machine has no apt, or the packages are not to be had.
    """
    places = [folder / "usr" / "share" / "fonts" / font.file for font in FONTS]
    unpack_packages([font.package for font, place in zip(FONTS, places, strict=True) if not place.exists()], folder)
    return places
