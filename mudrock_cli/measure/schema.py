"""The one schema: every column of the tables that users keep, with what it means.

A name ends in its unit; a share or a ratio has none. What stands here goes into the metadata of
each Parquet field, so that a table explains itself.

Arrow columns are built from their buffers: ``pyarrow.array`` imports pandas whatever it is given,
half a second in which `stats` measures a whole micrograph.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mudrock_cli.errors import MudrockError

Bools = npt.NDArray[np.bool_]

VERSION = 2
"""Version of the schema; it rises when a column changes its name, type or meaning."""

TYPES = {
    "str": pa.string(),
    "category": pa.dictionary(pa.int32(), pa.string()),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "uint": pa.uint32(),
    "float": pa.float64(),
    "floats": pa.list_(pa.float64()),
    "strs": pa.list_(pa.string()),
}
"""Arrow type of each kind of column."""

_NUMBERS = {"int": np.int64, "uint": np.uint32, "float": np.float64, "bool": np.bool_}
_HINT = "make it anew with mudrock stats"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    name : str
        Its name, ending in the unit.
    type : str
        A key of `TYPES`.
    unit : str
        Unit; ``1`` for counts, shares and ratios, empty for what is no number.
    meaning : str
        What it holds.
    formula : str
        How it is computed, where that is not said by the meaning.
    citation : str
        Where the formula is from.
    since : int
        Version of the schema that brought it; older tables lack it.
    """

    name: str
    type: str
    unit: str
    meaning: str
    formula: str = ""
    citation: str = ""
    since: int = 1

    def to_field(self) -> pa.Field:
        """Return the Arrow field, its metadata included."""
        names = ("unit", "meaning", "formula", "citation")
        metadata = {name: getattr(self, name) for name in names if getattr(self, name)}
        return pa.field(self.name, TYPES[self.type], metadata=metadata)


def make_schema(columns: Sequence[Column], kind: str, facts: Mapping[str, Any]) -> pa.Schema:
    """Return the Arrow schema of a table.

    Parameters
    ----------
    columns : sequence of Column
        Its columns.
    kind : str
        ``instances`` or ``summary``.
    facts : mapping
        What else belongs under the ``mudrock`` key of the file's metadata: software, options;
        values that JSON can hold.
    """
    stated = {"schema": kind, "schema_version": VERSION, **facts}
    metadata = {"mudrock": json.dumps(stated, sort_keys=True, ensure_ascii=False)}
    return pa.schema([column.to_field() for column in columns], metadata=metadata)


def check_schema(schema: pa.Schema, columns: Sequence[Column], kind: str, name: str) -> Any:
    """Check that a table is of this schema, and return its ``mudrock`` facts.

    Parameters
    ----------
    schema : pyarrow.Schema
        What a file has.
    columns : sequence of Column
        What it should have at least, as far as its version has them.
    kind : str
        ``instances`` or ``summary``.
    name : str
        The file, for messages.

    Raises
    ------
    MudrockError
        If it is another file, of a later version of the schema, or a column that its version has
        is missing or of another type.
    """
    try:
        facts = json.loads((schema.metadata or {})[b"mudrock"])
        found, version = facts["schema"], facts["schema_version"]
    except (KeyError, TypeError, ValueError) as error:
        raise MudrockError(f"{name}: no table of mudrock stats", _HINT) from error
    if found != kind:
        raise MudrockError(f"{name}: a table of {found}, not of {kind}", f"give the {kind} table")
    if version not in range(1, VERSION + 1):
        raise MudrockError(f"{name}: version {version} of the schema, not {VERSION}", _HINT)
    for column in columns:
        index = schema.get_field_index(column.name)
        if index < 0 and column.since > version:
            continue
        if index < 0:
            raise MudrockError(f"{name}: the column {column.name} is missing", _HINT)
        wanted, there = TYPES[column.type], schema.field(index).type
        if there != wanted:
            raise MudrockError(f"{name}: the column {column.name} is {there}, not {wanted}", _HINT)
    return facts


def pack_numbers(values: npt.ArrayLike, kind: str, valid: Bools | None = None) -> pa.Array:
    """Return a column of numbers or truth values.

    Parameters
    ----------
    values : array_like, shape (N,)
        The values; NaN becomes null.
    kind : {"int", "uint", "float", "bool"}
        Type of the column.
    valid : ndarray of bool, shape (N,), optional
        False where the column is null.
    """
    array: npt.NDArray[Any] = np.ascontiguousarray(values, _NUMBERS[kind])
    if kind == "float":
        number = ~np.isnan(array)
        valid = number if valid is None else valid & number
    data = np.packbits(array, bitorder="little") if kind == "bool" else array
    return _assemble(kind, len(array), valid, [pa.py_buffer(data)])


def pack_words(
    index: npt.NDArray[np.integer | np.bool_], words: Sequence[str], valid: Bools | None = None
) -> pa.Array:
    """Return a column of category words.

    Parameters
    ----------
    index : ndarray of integers, shape (N,)
        Which of the words; anything where not valid.
    words : sequence of str
        The words.
    valid : ndarray of bool, shape (N,), optional
        False where the column is null.
    """
    numbers = np.ascontiguousarray(index, np.int32)
    if valid is not None:
        numbers = np.where(valid, numbers, np.int32(0))
    buffers = [_pack_bits(valid), pa.py_buffer(numbers)]
    indices = pa.Array.from_buffers(pa.int32(), len(numbers), buffers)
    return pa.DictionaryArray.from_arrays(indices, pack_values(words, "str"))


def pack_values(values: Sequence[Any], kind: str) -> pa.Array:
    """Return a column of any kind from a list; None and NaN become null.

    Parameters
    ----------
    values : sequence
        The values; sequences themselves where the kind is a list.
    kind : str
        A key of `TYPES`.
    """
    valid = np.array([value is not None for value in values], np.bool_)
    if kind in _NUMBERS:
        zero = np.nan if kind == "float" else 0
        return pack_numbers([zero if value is None else value for value in values], kind, valid)
    if kind == "category":
        words = sorted({value for value in values if value is not None})
        index = [0 if value is None else words.index(value) for value in values]
        return pack_words(np.array(index, np.int32), words, valid)
    filled = [() if value is None else value for value in values]
    if kind == "str":
        encoded = [value.encode() if value else b"" for value in filled]
        buffers = [_pack_offsets(encoded), pa.py_buffer(b"".join(encoded))]
        return _assemble(kind, len(encoded), valid, buffers)
    items = pack_values(list(chain.from_iterable(filled)), kind.removesuffix("s"))
    return _assemble(kind, len(filled), valid, [_pack_offsets(filled)], [items])


def _assemble(
    kind: str,
    length: int,
    valid: Bools | None,
    buffers: list[pa.Buffer],
    children: list[pa.Array] | None = None,
) -> pa.Array:
    return pa.Array.from_buffers(
        TYPES[kind], length, [_pack_bits(valid), *buffers], children=children
    )


def _pack_bits(valid: Bools | None) -> pa.Buffer | None:
    if valid is None or valid.all():
        return None
    return pa.py_buffer(np.packbits(valid, bitorder="little"))


def _pack_offsets(parts: Sequence[Any]) -> pa.Buffer:
    return pa.py_buffer(np.cumsum([0, *map(len, parts)], dtype=np.int32))


_BIHANI = "Bihani et al. 2022, doi 10.1016/j.cageo.2021.104952"
_ISO_9276 = "ISO 9276-6:2008"
_LEGLAND = "Legland, Kiêu and Devaux 2007, doi 10.5566/ias.v26.p83-92"
_IUPAC = "Thommes et al. 2015, doi 10.1515/pac-2014-1117"
_LOUCKS = "Loucks et al. 2012, doi 10.1306/08171111061"
_MILES = "Miles 1974; Lantuéjoul 1980; ISO 13322-1:2014"
_SKIMAGE = "van der Walt et al. 2014, doi 10.7717/peerj.453 (skimage.measure.regionprops)"
_WENTWORTH = "Wentworth 1922, doi 10.1086/622910"

# fmt: off
INSTANCES: tuple[Column, ...] = (
    Column("image", "category", "", "name of the mask's image"),
    Column("label", "uint", "1", "number of the object in its image, in raster order of first "
           "pixels", "8-connected components of silt and of pore on the whole image",
           "Rosenfeld and Pfaltz 1966, doi 10.1145/321356.321357"),
    Column("phase", "category", "", "phase in the mask: silt or pore"),
    Column("counted_as", "category", "", "phase it counts as: silt regions too small to be silt "
           "count as clay; none for pores under min_pore_um, which porosity alone holds",
           "silt where whole_ecd_um > min_silt_um, else clay", _BIHANI),
    Column("area_px", "int", "px", "pixels of the object"),
    Column("area_um2", "float", "µm²", "area of the object", "area_px pixel_um²"),
    Column("ecd_um", "float", "µm", "equivalent-circle diameter", "sqrt(4 A / pi)", _ISO_9276),
    Column("whole_ecd_um", "float", "µm", "ECD of what the object is part of: the same where it "
           "lies whole in the frame, else of the circle of which the frame would leave its area "
           "and its cut, at most twice ecd_um", "A = d² (t - sin t) / 8, chord = "
           "d sin(t / 2)", since=2),
    Column("ecd_phi", "float", "phi", "the same diameter on the phi scale", "-log2(ecd_um / 1000)",
           "Krumbein 1934"),
    Column("size_class", "category", "", "size class of the ECD with clay below 2 µm",
           "limits 2, 7.8125, 15.625, 31.25, 62.5 µm", "ISO 14688-1:2017 (clay), Wentworth 1922, "
           "doi 10.1086/622910 (the others)"),
    Column("size_class_wentworth", "category", "", "size class of the ECD with clay below 3.9 µm",
           "limits 3.90625, 7.8125, 15.625, 31.25, 62.5 µm", _WENTWORTH),
    Column("pore_class_iupac", "category", "", "of a pore: micropore below 2 nm wide, mesopore to "
           "50 nm, macropore above", "limits 0.002, 0.05 µm of feret_min_um", _IUPAC, since=2),
    Column("pore_class_loucks", "category", "", "of a pore: picopore below 1 nm wide, nanopore to "
           "1 µm, micropore to 62.5 µm, mesopore to 4 mm, macropore above",
           "limits 0.001, 1, 62.5, 4000 µm of feret_min_um", _LOUCKS, since=2),
    Column("centroid_row_px", "float", "px", "mean row; 0 is the centre of the first"),
    Column("centroid_column_px", "float", "px", "mean column; 0 is the centre of the first"),
    Column("centroid_y_um", "float", "µm", "centroid below the top of the image"),
    Column("centroid_x_um", "float", "µm", "centroid right of the left side of the image"),
    Column("bbox_top_px", "int", "px", "first row of the bounding box"),
    Column("bbox_left_px", "int", "px", "first column of the bounding box"),
    Column("bbox_bottom_px", "int", "px", "row after the last of the bounding box"),
    Column("bbox_right_px", "int", "px", "column after the last of the bounding box"),
    Column("major_axis_um", "float", "µm", "long axis of the ellipse with the same second moments",
           "4 sqrt(larger eigenvalue of the covariance of pixel centres)", _SKIMAGE),
    Column("minor_axis_um", "float", "µm",
           "short axis of the same ellipse; 0 for a line of pixels", "4 sqrt(smaller eigenvalue of "
           "the covariance of pixel centres)", _SKIMAGE),
    Column("aspect_ratio", "float", "1", "long over short axis; null for a line of pixels",
           "major_axis_um / minor_axis_um"),
    Column("orientation_deg", "float", "°", "direction of the long axis, counter-clockwise from "
           "the image's horizontal, 0 to 180; null for equal axes", "atan2(2 cov(x, y), var(x) - "
           "var(y)) / 2 with y upwards (regionprops' orientation + 90°)", _SKIMAGE),
    Column("perimeter_um", "float", "µm", "Crofton perimeter from four directions",
           "pi / 4 (n0 + n90 + (n45 + n135) / sqrt(2)) pixel_um, n entries along lines", _LEGLAND),
    Column("form_factor", "float", "1", "1 for a circle, less for rough or long outlines; may pass "
           "1 for a few pixels", "4 pi A / P²", "Cox 1927"),
    Column("circularity", "float", "1", "square root of the form factor", "sqrt(4 pi A / P²)",
           _ISO_9276),
    Column("feret_min_um", "float", "µm", "smallest Feret diameter: distance of parallel tangents "
           "to the convex hull image", "rotating calipers on the outline through pixel-side "
           "midpoints", "Toussaint 1983; ISO 9276-6:2008"),
    Column("feret_max_um", "float", "µm",
           "largest Feret diameter: length of the convex hull image", "largest distance on the "
           "outline through pixel-side midpoints (feret_diameter_max)", _SKIMAGE),
    Column("convex_area_um2", "float", "µm²", "area of the convex hull image",
           "pixel centres inside the hull of pixel-side midpoints, times pixel_um²", _SKIMAGE),
    Column("solidity", "float", "1", "area over the area of the convex hull image", "A / A_convex",
           _ISO_9276),
    Column("nearest_neighbour_um", "float", "µm", "distance of centroids to the nearest object "
           "that counts as the same phase; null for one alone, and for silt that counts as clay"),
    Column("host", "category", "", "of a pore: intraparticle inside one silt grain, else "
           "interparticle", "intraparticle where all pixel sides face one and the same silt grain",
           _LOUCKS),
    Column("host_label", "uint", "1", "of a pore: the silt grain that it shares most sides with"),
    Column("silt_contact", "float", "1", "of a pore: share of its pixel sides that face silt"),
    Column("mean_grey", "float", "1", "mean grey level of the micrograph, 0 to 255"),
    Column("mean_confidence", "float", "1", "mean confidence of the segmentation, 0 to 1"),
    Column("touches_border", "bool", "", "touches the image's edge or pixels without specimen"),
    Column("frame_weight", "float", "1", "weight that corrects for objects cut by the frame; 0 for "
           "those that touch it", "in a rectangle W H / ((W - Fx) (H - Fy)) with the sides Fx, Fy "
           "of the bounding box, else specimen area over that further than (Fx + Fy) / 4 from its "
           "edge", _MILES),
)
"""Columns of the instance table: a row per silt grain or pore."""
# fmt: on

_ROCK = "Cochran 1977, Sampling Techniques, 6.3"
_ROCK_FORMULA = "logit(x) ± t(fields - 1) s, ratio of sums over fields"
_WOODRUFF = "Woodruff 1952, doi 10.1080/01621459.1952.10483443"
_FOLK = "Folk and Ward 1957, doi 10.1306/74D70646-2B21-11D7-8648000102C1865D"
_KANIT = "Kanit et al. 2003, doi 10.1016/S0020-7683(03)00143-4"
_MARDIA = "Mardia and Jupp 2000, 6.3 and 9.4"
_CLARK = "Clark and Evans 1954, doi 10.2307/1931034; Donnelly 1978"
_RIPLEY = "Ripley 1977; Ohser 1983 (translation correction)"
_TORQUATO = "Torquato 2002, Random Heterogeneous Materials, 2.2"
_GURLAND = "Gurland 1958"
_SALTYKOV = "Saltykov 1967; Underwood 1970, 5.4"

_THINGS = {"silt": "silt grains", "pore": "pores"}


def _limits(
    name: str, unit: str, scope: str, formula: str, citation: str, since: int = 1
) -> list[Column]:
    """Return the limits of the 95 % interval of a figure; the unit ends their names."""
    stem, ending = (name, "") if unit == "1" else name.rsplit("_", 1)
    ending = f"_{ending}" if ending else ""
    inside = "_within_field" if "within" in scope else ""
    return [
        Column(f"{stem}{inside}_{limit}{ending}", "float", unit, f"{word} limit of the 95 % "
               f"interval of {name} {scope}", formula, citation, since)
        for limit, word in (("low", "lower"), ("high", "upper"))
    ]  # fmt: skip


def _describe_fraction(name: str, meaning: str, formula: str) -> list[Column]:
    """Return the columns of a share of area: for the rock, and within a single field."""
    return [
        Column(name, "float", "1", meaning, formula, _BIHANI),
        *_limits(name, "1", "for the rock, from how fields differ; null for one field. Where none "
                 "was seen, 0 and what may be there unseen", _ROCK_FORMULA, _ROCK),
        *_limits(name, "1", "within this field: how far chance places its objects; it does not "
                 "speak for the rock; null for several fields", "logit(x) ± t(blocks - 1) max of "
                 "the variance between blocks and of objects at random places, sum a²",
                 "Chiu et al. 2013, Stochastic Geometry, 6.3", 2),
    ]  # fmt: skip


def _describe_difference(name: str, since: int) -> list[Column]:
    """Return the columns of a difference of two groups."""
    column = f"{name}_difference"
    words = name.replace("_", " ")
    return [
        Column(column, "float", "1", f"{words} of other_group less that of group", since=since),
        *_limits(column, "1", "for the rocks; null where a group has one field or a "
                 "fraction is 0 or 1",
                 "logit limits with Welch's degrees of freedom, recovered variances",
                 "Newcombe 1998, doi 10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0."
                 "CO;2-I", since),
    ]  # fmt: skip


def _describe_sizes(phase: str) -> list[Column]:
    """Return the columns of sizes by number and by area, as seen and corrected for the frame."""
    things, columns = _THINGS[phase], []
    percentile = "weighted percentile, Hyndman and Fan type 5 (Hazen)"
    interval = "percentiles at the limits of the share of weight below, ten effective objects or "
    interval += "more on either side"
    for basis in ("number", "area"):
        for percent in (10, 50, 90):
            share = f"{percent} % of the {basis} of {things}"
            name = f"{phase}_ecd_d{percent}_{basis}_um"
            corrected = f"{phase}_ecd_d{percent}_{basis}_corrected_um"
            columns += [
                Column(name, "float", "µm", f"ECD (whole_ecd_um) below which {share} lies",
                       percentile,
                       "Hyndman and Fan 1996, doi 10.1080/00031305.1996.10473566"),
                *_limits(name, "µm", f"for the rock, about {corrected}; null for one field and "
                         "where too few objects carry it", interval, _WOODRUFF),
                *_limits(name, "µm", f"within this field, about {corrected}; null for several "
                         "fields and where too few objects carry it", interval, _WOODRUFF, 2),
                Column(corrected, "float", "µm", f"the same of {things} that lie whole in the "
                       "frame, times frame_weight", percentile, _MILES),
            ]  # fmt: skip
    return columns


def _describe_objects(phase: str) -> list[Column]:
    """Return the columns of frame correction, direction and spacing."""
    things = _THINGS[phase]
    return [
        Column(f"{phase}_whole", "int", "1", f"{things} that lie whole in the frame"),
        Column(f"{phase}_corrected_number", "float", "1", f"{things} that belong to the frame",
               "sum of frame weights", _MILES),
        Column(f"{phase}_effective_number", "float", "1", "effective number of frame weights",
               "(sum w)² / sum w²", "Kish 1965"),
        Column(f"{phase}_largest_weight", "float", "1", "largest frame weight"),
        Column(f"{phase}_correction_unstable", "bool", "", "the corrected figures hang on few "
               "objects", "effective number < 30, or one object has over 10 % of the weight"),
        Column(f"{phase}_orientation_deg", "float", "°", f"mean long axis of elongated {things}, "
               "as orientation_deg",
               "axial mean by frame_weight of objects that lie whole in the frame, with aspect "
               "ratio >= 1.2 and 9 pixels or more", _MARDIA),
        Column(f"{phase}_orientation_strength", "float", "1",
               "0 no common direction, 1 all parallel", "mean resultant of doubled angles",
               _MARDIA),
        Column(f"{phase}_orientation_p", "float", "1", "p value of no common direction",
               "Rayleigh test", _MARDIA),
        Column(f"{phase}_clark_evans", "float", "1", "mean distance of nearest centroids over that "
               "of a random pattern: below 1 clustered, above regular", "", _CLARK),
        Column(f"{phase}_clark_evans_p", "float", "1", "two-sided p value of a random pattern; "
               "null for fewer than 8", "normal approximation, the edge of the specimen considered",
               _CLARK),
        Column(f"{phase}_ripley_radius_um", "floats", "µm", "distances of the next column"),
        Column(f"{phase}_ripley_l_um", "floats", "µm", "Ripley's L of centroids; the distance "
               "itself for a random pattern", "sqrt(K / pi)", _RIPLEY),
        Column(f"{phase}_ripley_critical_um", "float", "µm", "a random pattern stays within this "
               "of the distance at all distances in 95 % of cases", "95 % quantile of the "
               "largest deviation of a Gaussian process with the covariance of L, at least "
               "1.48 sqrt(A) / n", "Hoeffding 1948 (covariance of K), Ripley 1979"),
        Column(f"{phase}_two_point", "floats", "1", "chance that two points at "
               f"two_point_distance_um both lie in {phase}", "", _TORQUATO),
        Column(f"{phase}_boundary_per_um", "float", "1/µm", f"boundary of {phase} per area",
               "pi / 2 times crossings per length, mean of four directions", _LEGLAND),
        Column(f"{phase}_variation", "floats", "1", f"spread of the {phase} fraction between "
               "windows of window_side_um over its mean", "", _KANIT),
        Column(f"{phase}_window_um", "float", "µm", "least window side with that spread under "
               "10 %; null where the field is too small", "", _KANIT),
    ]  # fmt: skip


def _describe_grading(basis: str) -> list[Column]:
    """Return the columns of graphic statistics."""
    facts = {
        "mean_phi": ("phi", "graphic mean", "(P16 + P50 + P84) / 3"),
        "sorting_phi": ("phi", "inclusive graphic standard deviation",
                        "(P84 - P16) / 4 + (P95 - P5) / 6.6"),
        "skewness": ("1", "inclusive graphic skewness", "(P16 + P84 - 2 P50) / 2 (P84 - P16) + "
                     "(P5 + P95 - 2 P50) / 2 (P95 - P5)"),
        "kurtosis": ("1", "graphic kurtosis", "(P95 - P5) / 2.44 (P75 - P25)"),
    }  # fmt: skip
    return [
        Column(f"silt_{basis}_{name}", "float", unit, f"{words} of silt ECD by {basis}", formula,
               _FOLK)
        for name, (unit, words, formula) in facts.items()
    ]  # fmt: skip


SUMMARY: tuple[Column, ...] = (
    Column("scope", "category", "", "what the row is about: image, group, comparison or pooled"),
    Column("image", "str", "", "name of the image"),
    Column("group", "str", "", "name of the group; of the first in a comparison"),
    Column("other_group", "str", "", "name of the second group of a comparison"),
    Column("images", "int", "1", "number of images"),
    Column("mask", "str", "", "path of the mask from the folder of this file"),
    Column("mask_sha256", "str", "", "SHA-256 of the mask file"),
    Column("micrograph", "str", "", "path of the micrograph from the folder of this file"),
    Column("pixel_size_nm", "float", "nm", "side of a pixel; null for images of several"),
    Column("pixel_size_source", "str", "", "where the pixel size was read"),
    Column("height_px", "int", "px", "rows of the image"),
    Column("width_px", "int", "px", "columns of the image"),
    Column("area_analysed_um2", "float", "µm²", "area of specimen", "pixels that are not VOID"),
    *_describe_fraction("porosity", "pore area over specimen area", "A_pore / A"),
    *_describe_fraction("silt_fraction", "area of silt grains larger than min_silt_um over "
                        "specimen area", "A_silt / A"),
    *_describe_fraction("clay_fraction", "the rest, smaller silt regions included: all that is "
                        "neither pore nor silt, organic matter and pyrite too",
                        "1 - porosity - silt_fraction"),
    Column("mask_silt_fraction", "float", "1", "area of all silt in the mask over specimen area"),
    Column("mask_clay_fraction", "float", "1", "area of clay in the mask over specimen area"),
    Column("min_silt_um", "float", "µm", "silt regions up to this ECD count as clay", "", _BIHANI),
    Column("min_pore_um", "float", "µm", "pores with a smaller ECD (whole_ecd_um) are left out of "
           "numbers, sizes, directions and spacing, not of porosity", since=2),
    Column("pores", "int", "1", "number of pores, those under min_pore_um left out"),
    Column("small_pores", "int", "1", "number of pores under min_pore_um", since=2),
    Column("small_pore_fraction", "float", "1", "area of pores under min_pore_um over "
           "specimen area: this part of porosity", since=2),
    Column("silt_grains", "int", "1", "number of silt grains larger than min_silt_um"),
    Column("silt_regions", "int", "1", "the same before touching grains were divided; null where "
           "they were not", since=2),
    Column("small_silt_regions", "int", "1", "number of silt regions that count as clay"),
    *_describe_sizes("pore"),
    *_describe_sizes("silt"),
    *_describe_grading("number"),
    *_describe_grading("area"),
    *_describe_objects("pore"),
    *_describe_objects("silt"),
    Column("resolvable_ecd_um", "float", "µm", "ECD of nine pixels, the least that is resolved"),
    Column("pore_area_near_limit", "float", "1", "share of pore area, pores under "
           "min_pore_um included, in pores within twice resolvable_ecd_um"),
    Column("window_side_um", "floats", "µm", "sides of the windows of the columns *_variation"),
    Column("two_point_distance_um", "floats", "µm", "mean distances of the pairs of pixels of the "
           "columns *_two_point"),
    Column("silt_contiguity", "float", "1", "share of silt boundary that is contact with another "
           "grain: 0 matrix-supported, near 1 grain-supported", "2 N_gg / (2 N_gg + N_gm), "
           "holes inside grains filled", _GURLAND),
    Column("silt_contacts_per_grain", "float", "1", "mean number of grains that a grain touches, "
           "touching grains being divided at their necks", "watershed of the distance to the "
           "outline, necks under 0.7 of the smaller grain", "Beucher and Lantuéjoul 1979"),
    Column("silt_sphere_um", "floats", "µm", "middles of the classes of diameters of the "
           "next three columns, each 10^0.1 wide; null for fewer than 50 whole silt grains"),
    *(
        Column(f"silt_spheres{limit}_per_um3", "floats", "1/µm³", f"{words}silt spheres per volume "
               "by diameter: a model of spheres, see its assumptions", "sections weighed by "
               "frame_weight, unfolded for spheres spread evenly over each class, none negative; "
               "limits from gamma draws of the numbers of sections", _SALTYKOV)
        for limit, words in (("", ""), ("_low", "lower 95 % limit of "),
                             ("_high", "upper 95 % limit of "))
    ),
    *(
        column
        for phase in ("pore", "silt")
        for column in (
            Column(f"{phase}_ks", "float", "1", f"distance between two groups' ECD of "
                   f"{_THINGS[phase]} by number", "Kolmogorov-Smirnov"),
            Column(f"{phase}_ks_p", "float", "1", "its p value if objects were independent, "
                   "which they are not: it is too small"),
            Column(f"{phase}_wasserstein_um", "float", "µm", "how far sizes are moved on average "
                   "from one group's distribution to the other's", "Wasserstein, order 1"),
        )
    ),
    *_describe_difference("porosity", 1),
    *_describe_difference("silt_fraction", 2),
    *_describe_difference("clay_fraction", 2),
    Column("outside_training_range", "strs", "", "figures by which the micrograph is unlike those "
           "the model was trained on; null for a mask that no model made", since=2),
    Column("resample_factor", "float", "1", "how many times the micrograph was enlarged to the "
           "pixel size of the model", since=2),
    Column("model_judged", "bool", "", "whether the model was judged on images that it had not "
           "seen; null where the mask does not tell", since=2),
    Column("warnings", "strs", "", "what to know before these figures are used, in words"),
    Column("provenance", "str", "", "how the mask was made, as JSON"),
)  # fmt: skip

_JACCARD = "Jaccard 1912, doi 10.1111/j.1469-8137.1912.tb05611.x"
_CSURKA = "Csurka et al. 2013, doi 10.5244/C.27.32"
_KIRILLOV = "Kirillov et al. 2019, doi 10.1109/CVPR.2019.00963"
_PHASES = ("clay", "silt", "pore")

_HEAD = (
    Column("level", "category", "", "image; mean: over images; pooled: all pixels of the images"),
    Column("method", "category", "", "model or folder of masks"),
    Column("split", "category", "", "train, validation, test as the model's folder says; or all"),
    Column("image", "str", "", "name of the label; empty where several images are summed up"),
    Column("images", "int", "1", "number of images"),
    Column("pixels", "int", "px", "labelled pixels; every column looks at these only"),
    Column("pixel_accuracy", "float", "1", "share of pixels whose phase is right"),
    Column("iou_mean", "float", "1", "mean intersection over union of the phases present"),
)


def _phase_columns(name: str) -> Iterator[Column]:
    fraction = f"area fraction of {name}"
    yield Column(
        f"iou_{name}",
        "float",
        "1",
        f"intersection over union of {name}; empty where neither mask holds it, "
        "or labels do not tell it",
        "TP / (TP + FP + FN)",
        _JACCARD,
    )
    yield Column(f"absent_{name}", "int", "1", f"images without {name} in truth and prediction")
    yield Column(
        f"boundary_f1_{name}",
        "float",
        "1",
        f"F1 of the outlines of {name} within the tolerance",
        "2 P R / (P + R)",
        _CSURKA,
    )
    yield Column(f"fraction_{name}_truth_percent", "float", "%", f"{fraction} in the truth")
    yield Column(f"fraction_{name}_predicted_percent", "float", "%", f"{fraction} predicted")
    yield Column(
        f"fraction_{name}_error_points",
        "float",
        "percentage points",
        f"error of the {fraction}; at level mean the mean of its magnitude",
        "predicted - truth",
    )
    for other in (*_PHASES, "void"):
        yield Column(
            f"{name}_as_{other}_pixels", "int", "px", f"pixels of true {name} predicted as {other}"
        )


def _object_columns(name: str) -> Iterator[Column]:
    counts = {
        f"instances_{name}_truth": f"{name} regions in the truth, specks left out",
        f"instances_{name}_predicted": f"{name} regions predicted, specks left out",
        f"matched_{name}": "true regions with a predicted one of IoU > 0.5",
        f"missed_{name}": "true regions without one",
        f"invented_{name}": "predicted regions without a true one of IoU > 0.5",
        f"splits_{name}": "true regions that hold more than half of each of several predicted ones",
        f"merges_{name}": "predicted regions that hold more than half of each of several true ones",
    }
    for column, meaning in counts.items():
        yield Column(column, "int", "1", meaning)
    qualities = {
        "panoptic": "sum of matched IoU / (matched + missed / 2 + invented / 2)",
        "segmentation": "mean of matched IoU",
        "recognition": "matched / (matched + missed / 2 + invented / 2)",
    }
    for quality, formula in qualities.items():
        meaning = f"{quality} quality of {name}"
        yield Column(f"{quality}_quality_{name}", "float", "1", meaning, formula, _KIRILLOV)
    for weight, weighted in (("", "equal weights"), ("_by_area", "weighted by area")):
        for unit, shown in (("um", "µm"), ("px", "px")):
            yield Column(
                f"ecd_distance{weight}_{name}_{unit}",
                "float",
                shown,
                f"Wasserstein-1 distance of true and predicted {name} diameters, {weighted}"
                + (" (px: images without a pixel size)" if unit == "px" else ""),
                "area between the two cumulative distributions",
                "Vaserstein 1969",
            )


SCORES: tuple[Column, ...] = (
    *_HEAD,
    *(column for name in _PHASES for column in _phase_columns(name)),
    *(column for name in _PHASES[1:] for column in _object_columns(name)),
)
