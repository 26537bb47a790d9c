"""Files whose content is damaged, forged, or not a cube that anybody could compute with."""

import io
import tarfile
import zipfile

import h5py
import numpy as np
import rasterio
import scipy.io
from astropy.io import fits

from tests.bad_inputs.situation import cube, saved

PAGE = b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
PLACE = {"crs": "EPSG:32632", "transform": rasterio.Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 4600000.0)}


def written(folder, ending, values=None, name="good"):
    """A file of a format that is all right."""
    values, path = cube() if values is None else values, folder / f"{name}.{ending}"
    if ending == "npy":
        np.save(path, values)
    elif ending == "npz":
        np.savez_compressed(path, cube=values)
    elif ending == "mat":
        scipy.io.savemat(path, {"cube": values}, do_compression=True)
    elif ending == "h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("cube", data=values, chunks=(4, 5, values.shape[2]), compression="gzip")
    elif ending == "tif":
        with rasterio.open(path, "w", "GTiff", *values.shape[1::-1], values.shape[2], dtype=values.dtype, **PLACE) as file:
            file.write(values.transpose(2, 0, 1))
    elif ending == "img":
        with rasterio.open(path, "w", "ENVI", *values.shape[1::-1], values.shape[2], dtype=values.dtype, **PLACE) as file:
            file.write(values.transpose(2, 0, 1))
        path.with_suffix(".img.aux.xml").unlink(missing_ok=True)
    else:
        fits.PrimaryHDU(values.astype("i2")).writeto(path)
    return path


def empty(place, ending):
    """No byte at all."""
    path = place.folder / f"empty.{ending}"
    path.touch()
    return path


def mask(place, value, *shape):
    """A mask of one value, as large as the cube or of another shape."""
    path = place.folder / "mask.npy"
    np.save(path, np.full(tuple(map(int, shape)) or cube().shape[:2], int(value), "uint8"))
    return path


def error_page(place, ending):
    """What a failed download leaves."""
    path = place.folder / f"page.{ending}"
    path.write_bytes(PAGE)
    return path


def cut(place, ending, percent):
    """The first part of a good file."""
    path = written(place.folder, ending, cube(channels=12))  # FITS: 2880 bytes, no padding to cut off
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * int(percent) // 100])
    return path


def altered_fits(place, what):
    """A FITS header that does not fit its data."""
    old, new = {
        "bitpix": (b"BITPIX  =                   16", b"BITPIX  =                  -64"),
        "naxis": (b"NAXIS   =                    3", b"NAXIS   =                    0"),
        "end": (b"END     ", b"DNE     "),
    }[what]
    path = written(place.folder, "fits")
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    return path


def altered_envi(place, what):
    """An ENVI pair of which one file is missing, or whose header describes another file."""
    path = written(place.folder, "img", cube(channels=12) * 50)
    header = path.with_suffix(".hdr")
    old, new = {
        "lines": ("lines   = 12", "lines = 13"), "bands": ("bands   = 12", "bands = 11"), "order": ("byte order = 0", "byte order = 1"),
        "": ("", ""),
    }[what if what in {"lines", "bands", "order"} else ""]  # fmt: skip
    assert old in header.read_text()
    header.write_text(header.read_text().replace(old, new, 1))
    if what == "no-header":
        header.unlink()
        return path.rename(path.with_suffix(".bsq"))
    if what == "no-samples":
        path.unlink()
    return header


def map_tif(place, what):
    """A GeoTIFF whose place on Earth is missing, nowhere, or in another unit; or two of whose bands have one name."""
    path, place_ = written(place.folder, "tif"), dict(PLACE)
    if what == "missing":
        place_ = {"crs": None, "transform": PLACE["transform"]}
    elif what == "local":
        place_["crs"] = 'LOCAL_CS["somewhere",UNIT["metre",1]]'
    elif what == "degrees":
        place_["crs"] = "EPSG:4326"
    with rasterio.open(path, "w", "GTiff", 10, 12, 8, dtype="uint16", **place_) as file:
        file.write(cube().transpose(2, 0, 1))
        file.descriptions = ("red", "red", *"abcdef") if what == "twins" else tuple("abcdefgh")
    return path


def sentinel(place, what):
    """A folder of two bands, where a third was not copied, or belongs to another tile."""
    folder = place.folder / "scene"
    folder.mkdir()
    names = ("B02", "B04", "T32TQP_20240601T101559_B03") if what == "tiles" else ("B02", "B04")
    for name in names:
        with rasterio.open(folder / f"{name}.tif", "w", "GTiff", 10, 12, 1, dtype="uint16", **PLACE) as file:
            file.write(cube()[:, :, 0], 1)
    return folder


def linked_h5(place, how):
    """An HDF5 file whose cube lies elsewhere, or nowhere."""
    path = place.folder / "links.h5"
    written(place.folder, "h5", name="elsewhere")
    with h5py.File(path, "w") as file:
        if how == "external":
            file["cube"] = h5py.ExternalLink("elsewhere.h5", "/cube")
        else:
            file["cube"], file["again"] = h5py.SoftLink("/again"), h5py.SoftLink("/cube")
    return path


def missing_filter(place):
    """An HDF5 dataset that says it is packed with a filter nobody has installed."""
    with h5py.File(place.folder / "filter.h5", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((2, 2, 2))
        plist.set_filter(32099, h5py.h5z.FLAG_OPTIONAL, ())
        h5py.h5d.create(file.id, b"cube", h5py.h5t.NATIVE_INT16, h5py.h5s.create_simple((4, 4, 4)), plist)
    return place.folder / "filter.h5"


def two_cubes(place):
    np.savez(place.folder / "two.npz", left=cube(), right=cube(seed=1))
    return place.folder / "two.npz"


def shaped(place, *shape):
    """Ones of any shape."""
    return saved(place.folder, np.ones([int(size) for size in shape], "f4"))


def typed(place, dtype):
    """A cube of a type that no model computes with."""
    return saved(place.folder, np.full((4, 4, 4), None) if dtype == "object" else np.ones((4, 4, 4)).astype(dtype))


def spoilt(place, what):
    """A cube with some samples that should make a scientist look twice."""
    values = cube(dtype="f4") + 1
    flat = values.reshape(-1)
    if what == "all-nan":
        values[...] = np.nan
    elif what == "nan":
        flat[::20] = np.nan
    elif what == "inf":
        values[0, 0, 0], values[3, 4, 5] = np.inf, -np.inf
    elif what == "negative":
        values = cube(dtype="i4")
        values[0, :3, 0] = -1
    elif what == "saturated":
        values = cube()
        values[5, :4, 2] = 65535
    else:
        values = np.full((12, 10, 8), 7, "u2")
    return saved(place.folder, values)


def calibrated(place, values):
    """A cube of 8 channels with its energies as a second array."""
    numbers = np.array([float(value) for value in values.split(",")])
    np.savez(place.folder / "calibrated.npz", cube=cube(), scale=numbers)
    return place.folder / "calibrated.npz"


def twice(place):
    """The same content under the same name, once before."""
    place.open().register(place.words["cube"], "museo:again")
    return place.words["cube"]


def other_content(place):
    """A cube that differs from the one that has the name."""
    return saved(place.folder, cube(seed=5))


def raced(place):
    """Somebody else registers the same file under the same name while this one is being converted."""
    from lakecv.api import registering

    usual = registering.convert_apart

    def convert(request, watch, *more):
        place.patch.setattr(registering, "convert_apart", usual)
        assert not place.open().register(place.words["cube"], "museo:raced").was_there
        place.before = place.objects()
        return usual(request, watch, *more)

    place.patch.setattr(registering, "convert_apart", convert)

    def one_entry(_):
        assert place.objects() == place.before
        assert [str(dataset.did) for dataset in place.open().ls()].count("museo:raced") == 1

    place.after.append(one_entry)


def npz_bomb(place):
    """A megabyte that unpacks to a gigabyte, though its header speaks of a small array."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<u2", "fortran_order": False, "shape": (8, 8, 16)})
    path = place.folder / "cube.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("cube.npy", "w", force_zip64=True) as member:
        member.write(header.getvalue())
        for _ in range(64):
            member.write(bytes(16 << 20))
    return path


def tar(place):
    """An archive with a member that would climb out."""
    path = place.folder / "cube.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("../../escaped.npy")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"oops"))
    return path


def references(place):
    """Chunks that lie elsewhere, as kerchunk writes them; nobody is asked for them."""
    path = place.folder / "cube.json"
    path.write_text('{"version": 1, "refs": {".zgroup": "{}", "data/0.0.0": ["http://169.254.169.254/latest", 0, 10]}}')
    return path
